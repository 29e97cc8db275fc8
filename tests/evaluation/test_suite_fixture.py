"""Both arms over a case file, as a test calls them."""

import asyncio
import json
import subprocess
import sys
import traceback

import pytest

from shadoweval import Experiment, Settings, Target, Traffic, no_worse
from shadoweval.errors import CaseFileError, ExperimentError
from shadoweval.evaluation.suite import BudgetSpentError, SuiteOptions, play
from shadoweval.evaluation.suite_fixture import Shadow
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


@pytest.fixture(name="arms")
def _arms(toy, tmp_path, monkeypatch):
    """Gives an experiment of the same cases with other arms, by their code."""
    made = []

    def arms(candidate, incumbent="return question", **options):
        name = f"suite_arms_{len(made)}"
        arms = f"def new(question):\n    {candidate}\ndef old(question):\n    {incumbent}\n"
        code = f"import os\nfrom shadoweval import record_model_call\n{arms}"
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        made.append(name)
        return Experiment(
            name="arms",
            candidates={"new": f"{name}:new"},
            incumbent=f"{name}:old",
            labels=tmp_path / "cases.jsonl",
            scorers=[errors(), rouge_l()],
            gates=[no_worse("errors", by=0.1)],
            **options,
        )

    yield arms
    for name in made:
        sys.modules.pop(name, None)


def test_a_run_that_ends_its_process_is_red_whatever_the_gates_say(arms):
    """Of two cases nothing could be proven; that one of them kills the process needs no proof."""
    with pytest.raises(AssertionError, match="the candidate's process ended in 1 runs: case-2: its process"):
        Shadow()(arms("return question if 'How' not in question else os._exit(7)"))


def test_arms_that_both_fail_are_red(arms):
    """No one-line assertion is green where nothing could be judged."""
    with pytest.raises(AssertionError) as caught:
        Shadow()(arms("raise RuntimeError('no index')", "raise RuntimeError('no index')"))

    assert "red: it can't be judged: something is wrong with the evidence" in str(caught.value)
    assert "The candidate failed in all 2 pairs" in str(caught.value)  # the whole table
    assert caught.value.verdicts[0].why == "error"


def test_strict_suites_are_red_where_their_cases_cannot_decide(arms):
    """Else they are green, with what they could have found."""
    told = []
    verdict = Shadow(told=lambda suite, _: told.append(suite))(arms("return question"))
    assert verdict.holds
    assert "undecided: a loss of errors from about 0.88 on would have been found by these 2 cases" in told[0].text

    with pytest.raises(AssertionError, match="--shadow-strict asks for a proof"):
        Shadow(strict=True)(arms("return question"))


def test_several_candidates_are_named_or_all_of_them_judged(arms):
    """None is taken by chance; the incumbent runs once for all."""
    both = arms("return question")
    both.candidates["raises"] = both.candidates["new"]
    with pytest.raises(ExperimentError, match=r"several candidates: 'new', 'raises'.*shadow\.all"):
        Shadow()(both)
    shadow = Shadow()
    assert [verdict.candidate for verdict in shadow.all(both)] == ["new", "raises"]
    assert shadow.evaluation.verdicts[1].pairs == 2


@pytest.mark.parametrize("lacks", ["incumbent", "choice"])
def test_an_error_ends_in_the_test_that_made_it(arms, lacks):
    """None of our own frames is shown by pytest: what is to be mended is the experiment, or the call."""
    experiment = arms("return question")
    if lacks == "incumbent":
        experiment.incumbent = None
    else:
        experiment.candidates["raises"] = experiment.candidates["new"]
    with pytest.raises(ExperimentError, match=r"does not know its incumbent|several candidates") as caught:
        Shadow()(experiment)

    frames = list(traceback.walk_tb(caught.value.__traceback__))
    assert len(frames) > 1
    assert all(frame.f_locals.get("__tracebackhide__") for frame, _ in frames[1:])


def test_a_repeated_case_counts_once(arms):
    """By all of its runs, each of which is a pair; only cases of the slice are asked."""
    shadow = Shadow(options=SuiteOptions(repeats=3))
    verdict = shadow(arms("return question"))
    assert (verdict.pairs, verdict.units) == (6, 2)

    with pytest.raises(CaseFileError, match="none of its 2 cases has the attributes language=de"):
        Shadow(options=SuiteOptions(attributes=(("language", "de"),)))(arms("return question"))


def test_a_suite_ends_at_its_own_budget(arms):
    """Not at production's, which it neither asks nor charges."""
    spending = "record_model_call('m', input_tokens=10, cost_usd=1.0); return question"
    experiment = arms(spending, spending, traffic=Traffic(budget={"usd": 0.0}))
    assert Shadow()(experiment).pairs == 2
    with pytest.raises(BudgetSpentError, match="has spent its budget before its end"):
        Shadow(options=SuiteOptions(usd=1.5))(experiment)


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

    verdict = Shadow()(fewer, cases=tmp_path / "forty.jsonl", check=False)
    sys.modules.pop("suite_fewer", None)

    assert verdict.decision == decision, verdict
    assert "traffic so far" not in str(verdict)
    assert ("more cases" in str(verdict)) == (decision == "hold")


def test_the_working_tree_is_held_against_main(toy, tmp_path):
    """A pull request with both arms live: the incumbent is of the commit, the candidate what lies in the folder."""
    git = ["git", "-C", tmp_path, "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet", "-b", "main"], ["add", "suite_toy.py"], ["commit", "--quiet", "-m", "main"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "suite_toy.py").write_text("def echo(question):\n    return 'nothing'\n", encoding="utf-8")
    toy.incumbent = Target("suite_toy:echo", git="main", repo=tmp_path)
    toy.settings = Settings(home=str(tmp_path / "home"))
    run = play(toy)

    answers = [{arm: seen.outcome.answer for arm, seen in arms.items()} for arms in run.observations.values()]
    assert answers == [{"incumbent": text, "same": "nothing"} for text in ("Добрый день", "How do I?")]
    assert run.evaluation.versions["incumbent"]["commit"]
    assert "commit" not in run.evaluation.versions["same"]
    assert [each.name for each in (tmp_path / "home").iterdir()] == ["checkouts"]
