"""Cases as items: what they are called, which are played, and how far that is."""

import json
import sys

import pytest

from shadoweval import Experiment, no_worse
from shadoweval.errors import ArgumentError
from shadoweval.evaluation.cases import read_cases
from shadoweval.evaluation.suite import SuiteOptions
from shadoweval.evaluation.suite_fixture import Shadow
from shadoweval.evaluation.suite_items import MarkedSuite, case_names
from shadoweval.evaluation.suite_progress import progress_on
from shadoweval.scoring import errors


def written(file, *questions):
    file.write_text("\n".join(json.dumps(question) for question in questions), encoding="utf-8")
    return file


def test_a_case_that_is_put_before_others_renames_none(tmp_path):
    """Ids of tests are a case's own, or say what it asks."""
    first, second = {"query": "How do I read a file line by line?"}, {"id": "doc-7", "query": "Why?"}
    names = case_names(read_cases(written(tmp_path / "a.jsonl", first, second)))
    assert names[0].startswith("How-do-I-read-a-file-")
    assert names[1] == "doc-7"
    assert case_names(read_cases(written(tmp_path / "b.jsonl", {"query": "New"}, first, second)))[1:] == names


def test_a_case_that_is_chosen_alone_is_played_alone_and_once(tmp_path, monkeypatch):
    """Whoever runs one test waits for no other case; what was played is not played again."""
    (tmp_path / "suite_items_app.py").write_text("def echo(question):\n    return question\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    cases = written(tmp_path / "cases.jsonl", {"query": "one"}, {"id": "two", "query": "two"})
    target = "suite_items_app:echo"
    experiment = Experiment(
        name="items",
        candidates={"new": target},
        incumbent=target,
        scorers=[errors()],
        gates=[no_worse("errors", by=0.1)],
    )
    done = []
    shadow = Shadow(options=SuiteOptions(progress=lambda name, *counts: done.append((name, *counts))))
    run = MarkedSuite(experiment, cases=cases, options=SuiteOptions()).run(tmp_path / "of", shadow, asked=["two"])
    assert len(run.cases) == 1
    assert done[-1] == ("items", 2, 2)

    other_process = MarkedSuite(experiment, cases=cases, options=SuiteOptions())
    again = other_process.run(tmp_path / "of", shadow, asked=["two"])
    assert len(done) == 2
    assert other_process.case(again, "two").candidate.outcome.answer == "two"
    with pytest.raises(ArgumentError, match="an Experiment"):
        MarkedSuite("items", options=SuiteOptions())
    sys.modules.pop("suite_items_app", None)


@pytest.mark.parametrize(("watched", "lines"), [(True, 3), (False, 1)])
def test_progress_is_written_over_where_somebody_looks_on(watched, lines):
    """And is a line now and then in the log of a job."""
    said = []
    reporter = type("Reporter", (), {"write": lambda self, line, flush: said.append(line)})()
    seconds = iter(range(0, 1000, 20))
    progress = progress_on(reporter, watched=watched, clock=lambda: next(seconds))
    for done in (1, 2, 3):
        progress("shop", done, 3)
    assert len(said) == lines
    assert "shadow shop: " in said[0]
