"""When a suite is red, and what is said of it: by pytest in a process of its own, as users start it."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

SUITES = """
import pytest
from suites import experiment

@pytest.mark.parametrize("candidate", ["worse", "flaky"])
def test_candidate(shadow, candidate):
    shadow(experiment(candidate))

class TestEach:
    @pytest.mark.shadow(experiment("worse"), cases="few.jsonl")
    def test_case(self, shadow_case):
        assert shadow_case.incumbent.outcome.answer.startswith("QUESTION")
        assert shadow_case.case.id != "case-3" or shadow_case.candidate.outcome.answer == "QUESTION 3"
"""


def outcomes(said):
    """Test -> how it ended, as `-rA` lists it."""
    lines = re.findall(r"^(PASSED|FAILED|ERROR) test_suite\.py::(\S+)", said, re.MULTILINE)
    return {name: state for state, name in lines}


ENDS = {
    "test_candidate[worse]": "FAILED",
    "test_candidate[flaky]": "PASSED",
    **{f"TestEach::test_case[case-{n}]": "FAILED" if n == 3 else "PASSED" for n in range(20)},
    "TestEach::test_case[verdict]": "FAILED",
}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("workers", ["0", "2", pytest.param("4", marks=pytest.mark.slow)])
def test_suites_end_the_same_with_any_number_of_workers(workers, project):
    """Worse is red, undecided is green, told once and whole; cases are tests; a host's kill switch stops nothing."""
    project.write("test_suite.py", SUITES)
    lines = (project.folder / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    project.write("few.jsonl", "\n".join(lines[:20]))
    options = ["-n", workers, "-rA", "--junit-xml=j.xml", "--shadow-report=html"]
    code, said = project.run(*options, SHADOWEVAL_KILL="ALL", GITHUB_STEP_SUMMARY="s.md")

    assert (code, outcomes(said)) == (1, ENDS), said
    assert "shop / worse: red, ROLLBACK (broken) after 40 pairs" in said
    assert re.search(r"BROKEN +exact_match is no worse by 0.1 +0.0 instead of 1.0", said)
    assert "shop / worse: red, ROLLBACK (broken) after 20 pairs" in said
    assert "red: it is proven worse" in said
    assert re.search(r"a loss of exact_match from about 0\.\d+ on would have been found by these 40 cases", said)
    assert "suite_fixture.py" not in said  # no traceback through our own frames
    properties = [each.get("value") for each in ET.parse(project.folder / "j.xml").iter("property")]
    assert sum("shop / worse: red, ROLLBACK" in value for value in properties) == 2
    assert (project.folder / "s.md").read_text(encoding="utf-8").count("## shop / worse: ROLLBACK") == 2
    assert len(list((project.folder / "html").iterdir())) == 3


TALK = """
import pytest
from shadoweval import Experiment, no_worse
from shadoweval.scoring import exact_match

talks = Experiment(name="talks", candidates={"same": "talk:same"}, incumbent="talk:same", labels="talks.jsonl",
                   scorers=[exact_match()], gates=[no_worse("exact_match", by=0.1)])

@pytest.mark.shadow(talks)
def test_talk(shadow_case):
    heard = [*shadow_case.case.earlier, shadow_case.case.query]
    assert shadow_case.candidate.outcome.answer.count("turn") == len(heard)
"""


def test_each_turn_of_a_conversation_is_a_test(project):
    """By the id of its conversation; one that is chosen alone is asked after those before it."""
    project.write("talk.py", "def same(q, history=()):\n    return 'turn ' * (len(history) // 2 + 1)\n")
    project.write("test_suite.py", TALK)
    lines = [{"id": f"talk{n}", "turns": [f"Hello {n}", {"query": "more", "reference": "turn turn"}]} for n in range(3)]
    project.write("talks.jsonl", "\n".join(map(json.dumps, lines)))
    ends = {f"test_talk[talk{n}.{turn}]": "PASSED" for n in range(3) for turn in (1, 2)}

    code, said = project.run("-rA")
    assert (code, outcomes(said)) == (0, ends | {"test_talk[verdict]": "PASSED"}), said
    assert "talks / same: green" in said
    code, said = project.run("-rA", "-k", "talk1.2")
    assert (code, outcomes(said)) == (0, {"test_talk[talk1.2]": "PASSED"}), said
