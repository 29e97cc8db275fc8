"""A verdict on scores that somebody has already: from the file to the sentence that a person reads."""

import json
import random

import pytest

from shadoweval.cli.parser import main


def file_of(folder, header, rows, *, name="scores.csv"):
    lines = [",".join(map(str, row)) for row in (header, *rows)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def judged(rows, folder, *arguments, header=("incumbent", "candidate")):
    return main(["compare", file_of(folder, header, rows), *arguments])


def test_two_columns_give_a_verdict_and_a_report(tmp_path, capsys):
    """The plainest file: incumbent, candidate. The exit code, the table and the page say the same."""
    draw = random.Random(1)
    rows = [(int(draw.random() < 0.5), int(draw.random() < 0.9)) for _ in range(200)]

    code = judged(rows, tmp_path, "--better", "score=0.05", "--report", str(tmp_path / "page.html"))

    out = capsys.readouterr().out
    mean = sum(new - old for old, new in rows) / len(rows)
    assert code == 0
    assert "200 rows; scores: score" in out
    assert "scores / candidate: PROMOTE (proven) after 200 pairs" in out
    assert f"({mean:+.2f})" in out, "the difference of the plain means"
    assert "taken to lie from 0 to 1" in out
    assert "PROMOTE" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("better_by", "code", "decision"), [(-0.4, 1, "ROLLBACK (broken)"), (0.0, 3, "HOLD (inconclusive)")]
)
def test_the_exit_code_is_the_verdict(tmp_path, capsys, better_by, code, decision):
    """Proven worse is 1, nothing proven is 3."""
    draw = random.Random(2)
    rows = [(int(draw.random() < 0.6), int(draw.random() < 0.6 + better_by)) for _ in range(200)]

    assert judged(rows, tmp_path, "--no-worse", "score=0.02") == code
    assert decision in capsys.readouterr().out


def test_rows_of_one_user_count_as_one_unit(tmp_path, capsys):
    """Fifty rows each of four users prove nothing, which two hundred users would."""
    rows = [(0, 1, f"u{n % 4}") for n in range(200)]

    code = judged(rows, tmp_path, "--better", "score=0.05", header=("incumbent", "candidate", "user"))

    out = capsys.readouterr().out
    assert code != 0
    assert "n=4" in out
    assert "units" in out


def test_columns_say_what_they_are(tmp_path, capsys):
    """Several metrics, seconds, parts of the traffic, empty cells and columns of a user's own names, as JSON."""
    draw = random.Random(3)
    header = ("question", "old_q", "new_q", "latency.incumbent", "latency.candidate", "lang", "note")
    rows = [
        (f"q {n}", 3, 4 if n % 40 else "", f"{draw.uniform(1, 2):.3f}", f"{draw.uniform(1, 2):.3f}", "de", n)
        for n in range(120)
    ]
    rows = [(*row[:5], "en" if n % 3 else "de", row[6]) for n, row in enumerate(rows)]
    scores = ["--scores", "quality=old_q,new_q", "--scores", "latency=latency.incumbent,latency.candidate"]
    gates = ["--range", "quality=1:5", "--better", "quality=0.2", "--at-most", "latency.p95=1.5x"]

    code = judged(rows, tmp_path, *scores, *gates, "--json", header=header)

    said = json.loads(capsys.readouterr().out)
    (verdict,) = said["evaluation"]["verdicts"]
    quality, seconds = verdict["gates"]
    assert code == {"proven": 0, "inconclusive": 3}[verdict["why"]]
    assert (quality["incumbent"], quality["candidate"]) == (3.0, 4.0)
    assert quality["state"] == "holds"
    assert (quality["missing"]["candidate"], quality["missing"]["scored"]) == (3, 117)
    assert seconds["ratio"] is True
    assert {part["slice"] for part in verdict["slices"]} == {"lang=de", "lang=en"}


@pytest.mark.parametrize(
    ("header", "row", "arguments", "complaint"),
    [
        (("incumbent", "candidate"), (1, 0), [], "Write for instance --no-worse score=0.02"),
        (
            ("incumbent", "candidate"),
            (1, 0),
            ["--better", "quality=0"],
            "has no scores of 'quality', which a gate asks for. It has: 'score'",
        ),
        (("incumbent", "candidate"), (1, "good"), ["--better", "score=0"], "line 2: 'candidate' holds 'good'"),
        (("incumbent", "candidate"), (1, 5), ["--better", "score=0"], "--range score=1:5"),
        (("incumbent", "candidate"), (1, 0), ["--better", "score"], "METRIC=VALUE"),
        (("old", "new"), (1, 0), ["--better", "score=0"], "name two columns `incumbent` and `candidate`"),
        (("old", "new"), (1, 0), ["--scores", "score=old,newer"], "no column 'newer'"),
        (("incumbent", "candidate"), (1, 0, 7), ["--better", "score=0"], "line 2: it has 3 cells"),
    ],
    ids=["no gate", "no metric", "a word", "a range", "no margin", "no scores", "no column", "a cell more"],
)
def test_what_cannot_be_read_is_said_with_its_mend(tmp_path, capsys, header, row, arguments, complaint):
    """Nothing is guessed and nothing is skipped: the line, the column, and what to write."""
    assert judged([row, row], tmp_path, *arguments, header=header) == 4
    assert complaint in capsys.readouterr().err
