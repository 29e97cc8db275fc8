"""What judges would be asked and cost, said by a command that asks nobody."""

import json

import pytest

from shadoweval.records import Envelope
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, make_observation, make_query
from tests.commands import enter, invoke

EXPERIMENT = """
from shadoweval import Experiment
from shadoweval.scoring import Judge, exact_match, pairwise_judge, rubric_judge
from shadoweval.settings import Settings
from shadoweval.testing import ScriptedJudge

asked = []

def grade(question):
    asked.append(question)
    return {{"reason": "r", "level": 1, "better": "first"}}

judge = Judge({model}, price=(1.0, 2.0), max_tokens=100)
rubric = rubric_judge("Is it polite?", judge=judge, levels=["no", "yes"])
scorers = [exact_match(), rubric, pairwise_judge(judge=judge)]
here = Experiment(name="here", candidates={{"new": "app:new"}}, scorers=scorers,
                  settings=Settings(home="home", store="sqlite:///s.db"))
"""


@pytest.fixture(name="project")
def _project(tmp_path, monkeypatch):
    enter(tmp_path, monkeypatch)
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=FixedClock()) as store:
        for number in range(10):
            query = make_query(number)
            served = make_observation(query, answer=f"no {number}")
            store.add_envelopes([Envelope(experiment="here", query=query, served=served)], arms={query.id: ["new"]})
            store.add_observation(make_observation(query, "new", answer=f"please {number}"))
    return lambda model: (tmp_path / "app.py").write_text(EXPERIMENT.format(model=model), encoding="utf-8")


def test_a_dry_run_says_what_is_new_and_asks_nobody(project, tmp_path):
    """20 grades and 20 orders at first; no file of the store changes. After an evaluation nothing is new."""
    project("'gpt-4.1-mini', base_url='http://127.0.0.1:9/v1'")
    before = (tmp_path / "s.db").read_bytes()

    said = invoke("evaluate", "app:here", "--dry-run")
    document = json.loads(invoke("evaluate", "app:here", "--dry-run", "--json").stdout)

    assert said.returncode == 0, said.stderr
    assert "gpt-4.1-mini at 127.0.0.1: 40 new calls, about" in said.stdout
    assert "tokens in (characters / 4), at most 4000 out; at most 0.0" in said.stdout
    judge = document["judges"]["gpt-4.1-mini at 127.0.0.1"]
    assert (judge["calls"], judge["output_tokens_at_most"]) == (40, 4000)
    assert (tmp_path / "s.db").read_bytes() == before


def test_what_was_judged_is_not_new(project):
    """A function of one's own judges; after the evaluation nobody would be asked again."""
    project("grade")

    first, evaluated, again = (invoke("evaluate", "app:here", *more) for more in (["--dry-run"], [], ["--dry-run"]))

    assert "grade: 40 new calls" in first.stdout
    assert "HOLD" in evaluated.stdout, evaluated.stderr
    assert again.stdout.splitlines()[-1] == "No judge would be asked anything new."
