"""A conversation in a case file: its turns are cases, and the conversation is one unit."""

import json
import re

import pytest

from shadoweval import Experiment, codec, no_worse
from shadoweval.errors import CaseFileError
from shadoweval.evaluation.cases import labels_of, read_cases
from shadoweval.evaluation.suite import SuiteOptions, chosen_cases, play
from shadoweval.evaluation.suite_items import case_names
from shadoweval.evaluation.suite_recorded import bless, play_recorded
from shadoweval.scoring import exact_match

APP = """
def heard(question, history):
    messages = (*history, {"role": "user", "content": question})
    return " / ".join(f"{each['role']}: {each['content']}" for each in messages)

def serve(question, history=()):
    return f"{len(history) // 2 + 1}"

def tell(question, history=()):
    return heard(question, history)

def chat(messages, tone):
    return f"{tone}: {[each['content'] for each in messages]}"
"""


def line(number, **changes):
    turns = ["Hello.", {"query": "And then?", "reference": "2"}, {"query": "And then?", "reference": "3"}]
    return {"id": f"talk-{number}", "attributes": {"language": "en"}, "turns": turns, **changes}


@pytest.fixture(name="talks")
def _talks(tmp_path, monkeypatch):
    (tmp_path / "talkapp.py").write_text(APP, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cases.jsonl"


def experiment(incumbent="serve"):
    return Experiment(
        name="talks",
        candidates={"tell": "talkapp:tell"},
        incumbent=f"talkapp:{incumbent}",
        labels="cases.jsonl",
        scorers=[exact_match()],
        gates=[no_worse("exact_match", by=0.1)],
    )


def write(file, *lines):
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")


def test_both_arms_hear_what_the_incumbent_answered_before(talks):
    """Live, and against the recording: a turn's history is the incumbent's, and a conversation is one unit."""
    write(talks, *({**line(n), "id": f"t{n}", "turns": [f"Hello {n}.", *line(n)["turns"][1:]]} for n in range(4)))
    told = "user: Hello 0. / assistant: 1 / user: And then? / assistant: 2 / user: And then?"

    run = play(experiment(), options=SuiteOptions(repeats=2))
    assert run.observations["t0.3"]["tell"].outcome.answer == told
    assert run.observations["t0.3#2"]["incumbent"].outcome.answer == "3"
    assert (run.evaluation.verdicts[0].pairs, run.evaluation.verdicts[0].units) == (24, 4)

    bless(experiment(), talks.with_name("main.jsonl"))
    again = play_recorded(experiment("tell"), talks.with_name("main.jsonl"), candidates=["tell"])
    assert again.observations["t0.3"]["tell"].outcome.answer == told
    assert again.evaluation.verdicts[0].units == 4


def test_ids_stay_whatever_stands_before(talks):
    """A conversation without an id goes by its words; turns of one wording are told apart by what came before."""
    write(talks, line(1), line(2, id="", turns=["Hi.", "And then?", "And then?"]))
    named = case_names(read_cases(talks))
    write(talks, line(2, id="", turns=["Hi.", "And then?", "And then?"]))

    assert named[:3] == ["talk-1.1", "talk-1.2", "talk-1.3"]
    assert case_names(read_cases(talks)) == named[3:]
    assert len(set(named)) == 6
    assert all(re.fullmatch(r"(Hi|And-then)-[0-9a-f]{8}", name) for name in named[3:])


def test_a_turn_brings_those_before_it_and_labels_go_by_what_was_said(talks):
    """The second turn can't be asked without the first; `And then?` has no right answer of its own."""
    write(talks, line(1), {"query": "else"})
    cases = read_cases(talks)
    second = chosen_cases(talks, options=SuiteOptions(only=frozenset({cases[1].identity})))

    assert [case.id for case in second] == ["talk-1.1", "talk-1.2"]
    assert {key: labels.reference for key, labels in labels_of(cases).items() if labels.reference} == {
        cases[1].identity: "2",
        cases[2].identity: "3",
    }


def test_a_pipeline_may_take_one_list_of_messages(talks):
    """Which holds the question as its last; `inputs` of line and turn come beside it."""
    write(talks, line(1, messages="messages", inputs={"tone": "kind"}))
    turn = read_cases(talks)[1]

    assert codec.data(turn.inputs_after(["Hi!"])) == (
        (),
        {
            "tone": "kind",
            "messages": [
                {"role": "user", "content": "Hello."},
                {"role": "assistant", "content": "Hi!"},
                {"role": "user", "content": "And then?"},
            ],
        },
    )


@pytest.mark.parametrize("changes", [{"turns": []}, {"turns": [" "]}, {"turns": "Hello"}, {"query": "too"}])
def test_a_line_that_is_no_conversation_is_named(talks, changes):
    """With its line; nothing is skipped."""
    write(talks, line(1, **changes))
    with pytest.raises(CaseFileError, match=r"cases\.jsonl.*1"):
        read_cases(talks)
