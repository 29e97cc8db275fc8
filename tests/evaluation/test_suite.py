"""Both arms over a case file, as a test calls them."""

import asyncio
import json
import sys

import pytest

from shadoweval import Experiment, no_worse
from shadoweval.evaluation.suite import Shadow
from shadoweval.scoring import errors, rouge_l


@pytest.fixture(name="toy")
def _toy(tmp_path, monkeypatch):
    """An experiment whose arms give back what they are asked, and its case file."""
    (tmp_path / "suite_toy.py").write_text("def echo(question):\n    return question\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    cases = [{"query": text, "reference": text} for text in ("Добрый день", "How do I?")]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    yield Experiment(
        name="toy",
        candidates={"same": "suite_toy:echo"},
        incumbent="suite_toy:echo",
        labels=tmp_path / "cases.jsonl",
        scorers=[errors(), rouge_l()],
        gates=[no_worse("errors", by=0.1)],
    )
    sys.modules.pop("suite_toy", None)


def test_runs_under_a_running_loop(toy):
    """An async test and a notebook get their verdict as any other."""

    async def notebook():
        return Shadow()(toy)

    assert asyncio.run(notebook()).pairs == 2


def test_words_of_any_script_are_compared(toy):
    """An answer equal to its reference is equal in Cyrillic, too."""
    shadow = Shadow()
    shadow(toy)

    scores = {example.text: example.scores["rouge_l"] for example in shadow.evaluation.examples["same"]}
    assert {text: [score.value for score in both] for text, both in scores.items()} == {
        "Добрый день": [1.0, 1.0],
        "How do I?": [1.0, 1.0],
    }


def test_the_best_of_several_references_counts_in_a_suite(toy, tmp_path):
    """Whichever of them a case file names first."""
    cases = [{"query": "at nine", "references": ["9:00", "at nine"]}, {"query": "no", "references": ["never", "yes"]}]
    (tmp_path / "several.jsonl").write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    shadow = Shadow()
    shadow(toy, cases=tmp_path / "several.jsonl")

    scores = {example.text: example.scores["rouge_l"][1].value for example in shadow.evaluation.examples["same"]}
    assert scores == {"at nine": 1.0, "no": 0.0}


def test_no_report_is_written_over_another(toy, tmp_path):
    """One report for each call of each test, whatever its parameters are called."""
    for test in ("tests/test_a.py::test_fit[de]", "tests/test_a.py::test_fit[en]", "tests/test_a.py::test_fit[x/y]"):
        shadow = Shadow(report_folder=str(tmp_path / "html"), test=test)
        shadow(toy)
    shadow(toy)

    names = sorted(path.name for path in (tmp_path / "html").iterdir())
    assert len(names) == 4
    assert all(name.startswith("tests.test_a.py.test_fit-") for name in names)


@pytest.mark.parametrize(("broken", "decision"), [(0, "promote"), (2, "hold"), (14, "rollback")])
def test_forty_cases_are_decided(toy, tmp_path, broken, decision):
    """Equal arms are promoted; a third of the cases lost is rolled back; two lost can't tell, and more cases could."""
    answer = f"def echo(question):\n    if int(question) < {broken}:\n        raise ValueError\n    return question\n"
    (tmp_path / "suite_fewer.py").write_text(answer, encoding="utf-8")
    cases = [json.dumps({"query": str(number), "reference": str(number)}) for number in range(40)]
    (tmp_path / "forty.jsonl").write_text("\n".join(cases), encoding="utf-8")
    fewer = Experiment(
        name="fewer",
        candidates={"fewer": "suite_fewer:echo"},
        incumbent="suite_toy:echo",
        scorers=[errors()],
        gates=[no_worse("errors", by=0.1)],
    )

    verdict = Shadow()(fewer, cases=tmp_path / "forty.jsonl")
    sys.modules.pop("suite_fewer", None)

    assert verdict.decision == decision, verdict
    assert "traffic so far" not in str(verdict)
    assert ("more cases" in str(verdict)) == (decision == "hold")
