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


def test_no_report_is_written_over_another(toy, tmp_path):
    """One report for each call of each test, whatever its parameters are called."""
    for test in ("tests/test_a.py::test_fit[de]", "tests/test_a.py::test_fit[en]", "tests/test_a.py::test_fit[x/y]"):
        shadow = Shadow(report_folder=str(tmp_path / "html"), test=test)
        shadow(toy)
    shadow(toy)

    names = sorted(path.name for path in (tmp_path / "html").iterdir())
    assert len(names) == 4
    assert all(name.startswith("tests.test_a.py.test_fit-") for name in names)
