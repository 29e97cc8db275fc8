"""Marks for answers, from people's files to the printed verdict."""

import json
import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime

import pytest

from shadoweval import Experiment, label
from shadoweval.errors import ArgumentError, CaseFileError, ExperimentError, UnknownCandidateError
from shadoweval.evaluation.labelling import add_label_file
from shadoweval.records import Envelope
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, make_observation, make_query


def mark(number=1, value="correct", *, arm="new", annotator="ann", **more):
    return {"id": f"q-{number}", "arm": arm, "mark": value, "annotator": annotator, **more}


@pytest.fixture(name="experiment")
def _experiment(tmp_path):
    return Experiment(
        name="docs", candidates={"new": "app:new", "old": "app:old"}, settings=Settings(home=str(tmp_path))
    )


@pytest.fixture(name="store")
def _store(tmp_path):
    with SqlStore(f"sqlite:///{tmp_path / 'marks.db'}", clock=FixedClock()) as store:
        queries = [make_query(number) for number in (1, 2, 3)]
        envelopes = [Envelope(experiment="docs", query=query, served=make_observation(query)) for query in queries]
        store.add_envelopes(envelopes, arms={query.id: ["new"] for query in queries})
        for query in queries[:2]:
            store.add_observation(make_observation(query, "new"))
        yield store


@pytest.fixture(name="read")
def _read(tmp_path, experiment, store):
    def read(*lines):
        file = tmp_path / "labels.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        file.write_text("\n".join(texts), encoding="utf-8")
        return add_label_file(experiment, file, store=store)

    return read


def marks(store):
    return {pair.id: [(a.arm, a.mark, a.over) for a in pair.labels.annotations] for pair in store.pairs("docs", "new")}


def test_a_file_of_cases_and_marks(read, store):
    """Both kinds of lines in any order; a second time nothing is new."""
    lines = [
        mark(1, at="2026-01-01T09:00:00Z"),
        {"query": "question 2", "references": ["yes", "it is"]},
        mark(2, "preferred"),
        mark(2, "tie", arm="incumbent", over="new", annotator="ben"),
    ]
    assert read(*lines) == (1, 1, 3, 3)
    assert read(*lines) == (1, 0, 3, 0)
    assert marks(store) == {
        "q-1": [("new", "correct", "")],
        "q-2": [("new", "preferred", "incumbent"), ("incumbent", "tie", "new")],
    }


def test_later_words_of_a_file_count_by_their_time(read, store):
    """Not by the order of its lines, nor of the files."""
    read(mark(at="2026-01-02T09:00:00Z"), mark(1, "incorrect", at="2026-01-01T09:00:00+00:00"))
    assert marks(store)["q-1"] == [("new", "incorrect", ""), ("new", "correct", "")]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (mark(9), "no query 'q-9' that 'new' answered"),
        (mark(3), "no query 'q-3' that 'new' answered"),
        (mark(1, arm="nwe"), "no candidate 'nwe'.*Did you mean 'new'"),
        (mark(1, "tie", over="old"), "no query 'q-1' that 'new' and 'old' answered"),
        (mark(1, "tie", over="oldd"), "no candidate 'oldd'"),
        (mark(1, "preferred", arm="incumbent"), "with which candidate's.*'new', 'old'"),
        (mark(1, over="old"), "about one answer alone"),
        (mark(1, annotator=""), "Name who said it"),
        (mark(1, at="2026-01-01T09:00:00"), "time zone"),
    ],
)  # fmt: skip
def test_a_mark_that_belongs_nowhere_is_named_and_the_others_are_stored(read, store, wrong, why):
    """With its line; the same file, mended, can be read again."""
    with pytest.raises(CaseFileError, match=rf"line 2: .*{why}.*all other lines were stored"):
        read(mark(1), wrong, {"query": make_query(2).text, "reference": "yes"}, mark(2))
    assert marks(store) == {"q-1": [("new", "correct", "")], "q-2": [("new", "correct", "")]}
    assert [pair.labels.reference for pair in store.pairs("docs", "new")] == [None, "yes"]
    assert read(mark(1), mark(2)) == (0, 0, 2, 0)


def test_many_wrong_marks_are_told_by_their_lines(read):
    """The first with its reason."""
    with pytest.raises(
        CaseFileError, match=r"line 1: .*'q-7'.*also refused: line 2, 3, 4, 5, 6 and 2 more.*no mark was"
    ):
        read(*[mark(number) for number in range(7, 15)])


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (mark(1, "right"), "Invalid enum value 'right'"),
        ({"id": "q-1", "mark": "correct", "annotator": "ann"}, "missing required field `arm`"),
        (mark(1, at="yesterday"), "Invalid RFC3339"),
        (mark(1, score=3), "unknown field `score`; known fields of a mark are id, arm, mark"),
        ('{"mark": "correct"', "this is no JSON object"),
        ({"query": ""}, "'query' is empty"),
    ],
)
def test_a_line_that_cannot_be_read_stores_nothing(read, store, wrong, why):
    """The file is not what was meant."""
    with pytest.raises(CaseFileError, match=f"line 2: .*{why}"):
        read(mark(1), wrong)
    assert marks(store) == {"q-1": [], "q-2": []}


def test_an_empty_file_is_no_label_file(read):
    """Nothing to read is a mistake."""
    with pytest.raises(CaseFileError, match="neither a case nor a mark"):
        read("", " ")


def test_label_marks_one_answer(experiment, store):
    """From an application: a mark, taken back, and a comparison."""
    at = datetime(2026, 1, 1, 9, tzinfo=UTC)
    assert label(experiment, "q-1", arm="incumbent", mark="correct", annotator="ann", at=at, store=store)
    assert not label(experiment, "q-1", arm="incumbent", mark="correct", annotator="ann", at=at, store=store)
    assert label(experiment, "q-1", arm="incumbent", mark="incorrect", annotator="ann", store=store)
    assert label(experiment, "q-1", arm="new", mark="preferred", annotator="ann", store=store)
    assert marks(store)["q-1"] == [
        ("incumbent", "correct", ""),
        ("incumbent", "incorrect", ""),
        ("new", "preferred", "incumbent"),
    ]


@pytest.mark.parametrize(
    ("changes", "error", "why"),
    [
        ({"query_id": "q-9"}, ArgumentError, "a query which 'new' answered, got 'q-9'. Take the id from the report"),
        ({"arm": "nwe"}, UnknownCandidateError, "Did you mean 'new'"),
        ({"mark": "right"}, ArgumentError, "Invalid enum value 'right'"),
        ({"mark": "tie", "arm": "incumbent"}, ExperimentError, "with which candidate's"),
        ({"at": datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)}, ArgumentError, "time zone"),
        ({"annotator": ""}, ArgumentError, "Name who said it"),
        ({"annotator": 7}, ArgumentError, "Expected `str`, got `int`"),
    ],
)
def test_a_wrong_label_says_what_is_wrong(experiment, store, changes, error, why):
    """And leaves nothing behind."""
    arguments = {"query_id": "q-1", "arm": "new", "mark": "correct", "annotator": "ann", **changes}
    with pytest.raises(error, match=why):
        label(experiment, store=store, **arguments)
    assert marks(store) == {"q-1": [], "q-2": []}


PIPELINE = """
from shadoweval import Experiment, Rules, better, no_worse
from shadoweval.scoring import errors, human_correctness, human_preference

toy = Experiment(
    name="toy",
    candidates={"shout": "markedapp:shout"},
    scorers=[human_correctness(), human_preference(), errors()],
    gates=[better("human_correctness", by=0.1), no_worse("human_preference", by=0.2), no_worse("errors", by=0.1)],
    rules=Rules(min_units=20, min_hours=0),
    rerun=0.0,
)

@toy.mirror(1.0, control=0.0)
def plain(question):
    return question

def shout(question):
    return question.upper()
"""


@pytest.mark.parametrize(("better", "decision"), [("shout", "PROMOTE"), ("incumbent", "ROLLBACK")])
def test_the_whole_way_from_a_decorator_to_a_verdict_by_people(tmp_path, monkeypatch, better, decision):
    """Serve, shadow, mark in a file, `shadoweval labels`, `shadoweval evaluate`; said again it is nothing new."""
    (tmp_path / "markedapp.py").write_text(textwrap.dedent(PIPELINE), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHADOWEVAL_")}

    def run(*command, **options):
        return subprocess.run(
            [sys.executable, *command],
            **options,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**environment, "PYTHONPATH": str(tmp_path)},
        )

    served = (
        "import markedapp\nfrom shadoweval import current_query\n"
        "for n in range(80):\n    markedapp.plain(f'question {n}')\n    print(current_query())"
    )
    known = run("-c", served).stdout.split()  # by what the application knows them
    run("-m", "shadoweval", "worker", "markedapp:toy", "--until-idle")
    listed = (
        "from shadoweval import open_store\nimport markedapp\n"
        "with open_store(markedapp.toy) as store: print(*[pair.id for pair in store.pairs('toy', 'shout')])"
    )
    ids = run("-c", listed).stdout.split()
    assert sorted(known) == sorted(ids)
    assert len(set(ids)) == 80
    worse = {"shout": "incumbent", "incumbent": "shout"}[better]
    lines = [
        line
        for query_id in known
        for line in (
            {"id": query_id, "arm": better, "mark": "correct", "annotator": "ann"},
            {"id": query_id, "arm": worse, "mark": "incorrect", "annotator": "ann"},
            {"id": query_id, "arm": better, "mark": "preferred", "annotator": "ann"},
        )
    ]
    (tmp_path / "marks.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    first = run("-m", "shadoweval", "labels", "markedapp:toy", "marks.jsonl")
    again = run("-m", "shadoweval", "labels", "markedapp:toy", "marks.jsonl")
    judged = run("-m", "shadoweval", "evaluate", "markedapp:toy", "--closed")
    assert "0 cases read, 0 labels new or changed, 240 marks read, 240 new" in first.stdout, first.stderr
    assert "240 marks read, 0 new" in again.stdout
    line = json.dumps({"id": ids[0], "arm": worse, "mark": "incorrect", "annotator": "ben"})
    piped = [run("-m", "shadoweval", "labels", "markedapp:toy", "-", input=each) for each in (line, line, line[:9])]
    assert ["1 marks read, 1 new" in piped[0].stdout, "1 marks read, 0 new" in piped[1].stdout] == [True, True]
    assert "stdin, line 1" in piped[2].stderr
    assert piped[2].returncode == 4
    assert f"toy / shout: {decision}" in judged.stdout, judged.stdout + judged.stderr
    assert "human_correctness is better by 0.1" in judged.stdout
