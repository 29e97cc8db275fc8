"""`shadoweval export`: from stored pairs to a file or a pipe, and back through `compare`."""

import csv
import hashlib
import json
import sys
import textwrap
from pathlib import Path

import pytest

from shadoweval.cli.parser import main
from shadoweval.records import Envelope
from shadoweval.testing import make_observation, make_query
from shadoweval.worker.opening import load_experiment, open_store

PIPELINE = """
from shadoweval import Experiment, Rules, no_worse
from shadoweval.scoring import errors, exact_match

toy = Experiment(
    name="toy", candidates={"new": "exportapp:new", "other": "exportapp:other"},
    scorers=[errors(), exact_match()], gates=[no_worse("errors", by=0.1)], rules=Rules(min_hours=0, min_units=20))
"""
ODD = '=HYPERLINK("http://evil", "\u00e9")\n\x1b]0;owned\x07\u202e, "quoted"'
PAIRS = 1203
"""More than two portions."""


@pytest.fixture(name="home", scope="module")
def _home(tmp_path_factory):
    """Pairs of two candidates, judged; every third one is ann's, and asks for something odd."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "exportapp.py").write_text(textwrap.dedent(PIPELINE), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        with open_store(load_experiment("exportapp:toy")) as store:
            envelopes = []
            for n in range(1, PAIRS + 1):
                query = make_query(
                    n, text=ODD if n % 3 == 0 else f"question {n}", unit="ann" if n % 3 == 0 else f"u{n}"
                )
                envelopes.append(Envelope(experiment="toy", query=query, served=make_observation(query)))
            store.add_envelopes(envelopes, arms={each.id: ["new", "other"] for each in envelopes})
            for each in envelopes:
                store.add_observation(make_observation(each.query, "new", answer="-1+cmd", duration=0.5))
                store.add_observation(make_observation(each.query, "other"))
        assert main(["evaluate", "exportapp:toy", "--closed"]) in {0, 1, 2, 3}
        sys.modules.pop("exportapp", None)
    return folder


def enter(folder, patch):
    patch.chdir(folder)
    patch.syspath_prepend(folder)
    for name in ("SHADOWEVAL_HOME", "SHADOWEVAL_STORE"):
        patch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _here(home, monkeypatch):
    enter(home, monkeypatch)
    yield
    sys.modules.pop("exportapp", None)


def exported(*options):
    assert main(["export", "exportapp:toy", "--candidate", "new", "--out", "out/pairs.jsonl", *options]) == 0
    return [json.loads(line) for line in Path("out/pairs.jsonl").read_text(encoding="utf-8").splitlines()]


def test_each_pair_is_a_line_with_its_scores(capsys):
    """All of them once, in query order, over portions; the unit by its hash alone, texts as they are."""
    rows = exported()

    assert [row["query_id"] for row in rows] == [make_query(n).id for n in range(1, PAIRS + 1)]
    assert {row["schema"] for row in rows} == {"shadoweval.export/1"}
    assert {row["arm"] for row in rows} == {"new"}
    third = rows[2]
    assert third["unit"] == hashlib.sha256(b"ann").hexdigest()
    assert third["text"] == ODD
    assert (third["shadow"]["answer"], third["shadow"]["seconds"]) == ("-1+cmd", 0.5)
    assert third["scores"]["errors"] == [0.0, 0.0]
    assert "unscored" in third["scores"]["exact_match"][0]
    assert "ann" not in {row["unit"] for row in rows}
    assert f"{PAIRS:,} pairs: out/pairs.jsonl" in capsys.readouterr().out
    assert Path("out/pairs.jsonl").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in Path("out").iterdir()] == ["pairs.jsonl"]


def test_a_spreadsheet_takes_no_text_for_a_formula(capsys):
    """An apostrophe before texts that begin as formulas; numbers stay numbers; every row has as many cells."""
    assert main(["export", "exportapp:toy", "--out", "pairs.csv"]) == 0

    with Path("pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * PAIRS
    assert rows[2]["text"] == f"'{ODD}"
    assert rows[2]["shadow_answer"] == "'-1+cmd"
    assert (rows[2]["shadow_seconds"], rows[2]["errors.incumbent"], rows[2]["exact_match.candidate"]) == (
        "0.5",
        "0.0",
        "",
    )
    assert not any((cell or "").startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())
    assert None not in {key for row in rows for key in row}

    capsys.readouterr()
    assert main(["compare", "pairs.csv", "--no-worse", "errors=0.05"]) in {0, 3}
    assert f"{2 * PAIRS} rows; scores: errors" in capsys.readouterr().out


def test_without_texts_there_are_no_words_of_users():
    """No question, answer or argument; short: the first 160 characters."""
    text = Path("out/pairs.jsonl")
    rows = exported("--texts", "none")

    assert all(word not in text.read_text(encoding="utf-8") for word in ("question", "HYPERLINK", "cmd"))
    assert {row["text"] for row in rows} == {""}
    assert all(len(row["text"]) <= 160 for row in exported("--texts", "short"))


def test_a_pipe_gets_lines_that_drive_no_terminal(capsys):
    """On stdout: JSON that can be read, without a control character; a span may choose."""
    assert main(["export", "exportapp:toy", "--candidate", "new"]) == 0
    out = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    assert json.loads(out.splitlines()[2])["text"] == ODD
    assert main(["export", "exportapp:toy", "--since", "1s"]) == 3
    assert capsys.readouterr().out == ""


def test_what_was_erased_is_not_there_and_exports_with_it_are_named(capsys):
    """Last of this file: ann is gone from a new export, and the old one is named until it is written again."""
    before = exported()
    capsys.readouterr()

    assert main(["erase", "exportapp:toy", "--unit", "ann"]) == 0
    named = f"still holds words of erased queries, delete it or write it again: {Path('out/pairs.jsonl').absolute()}"
    assert named in capsys.readouterr().out
    after = exported()
    gone = {row["query_id"] for row in before} - {row["query_id"] for row in after}
    assert gone == {row["query_id"] for row in before if row["unit"] == hashlib.sha256(b"ann").hexdigest()}
    capsys.readouterr()
    assert main(["erase", "exportapp:toy", "--unit", "ann"]) == 0
    assert named not in capsys.readouterr().out
