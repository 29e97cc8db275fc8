"""What answers look like is counted for both arms."""

import pytest

from shadoweval.evaluation.style import Style
from shadoweval.testing import make_pair

REFUSAL = "I'm sorry, but I can't help with that."


def seen(candidate, *, n=100, split=None):
    style = Style()
    for number in range(n):
        if number == split:
            state, style = style.to_state(), Style()
            style.restore(state)
        style.see(make_pair(number, served={"answer": f"It opens at {number}."}, shadow={"answer": candidate(number)}))
    return style


def test_refusals_are_named_with_both_shares():
    """In the words of the issue: 0 % -> 40 %."""
    style = seen(lambda n: REFUSAL if n % 10 < 4 else f"It opens at {n}.")
    assert "refusals 0% -> 40%" in style.notices([])[0]


@pytest.mark.parametrize(
    "refusal",
    [
        "I\u2019m sorry, I can\u2019t do that.",
        "Unfortunately, I am unable to say.",
        "I do not have that at hand.",
        "Es tut mir leid, das weiß ich nicht.",
        "Lo siento, no puedo.",
        "很抱歉我不能回答。",
        "申し訳ございませんが、お答えできません。",
    ],
)
def test_refusals_in_other_words(refusal):
    """Curly apostrophes and other languages are no way around it."""
    assert "refusals 0% -> " in seen(lambda n: f"{refusal} {n}" if n % 2 else f"It opens at {n}.").notices([])[0]


@pytest.mark.parametrize(
    ("wrapped", "named"),
    [
        ("```json\n{}\n```", "format JSON 100% -> 0%, format JSON in a code fence 0% -> 100%"),
        ("Here it is:\n```json\n{}\n```\nAnything else?", "format JSON 100% -> 0%, format JSON amid text 0% -> 100%"),
        ("{},", "format JSON 100% -> 0%"),
    ],
)
def test_what_a_program_that_reads_json_fails_on_is_named(wrapped, named):
    """The same JSON in a wrapping is another format to whoever reads it."""
    style = Style()
    for number in range(100):
        json = f'{{"opens": {number}}}'
        style.see(make_pair(number, served={"answer": json}, shadow={"answer": wrapped.replace("{}", json)}))
    assert named in style.notices([])[0]


def test_what_looks_alike_is_not_named():
    """Neither are a few refusals more."""
    assert seen(lambda n: REFUSAL if n == 7 else f"It is open at {n}.").notices([]) == ()


def test_length_is_named_beside_a_metric_that_goes_by_it():
    """Only there."""
    style = seen(lambda n: f"It opens at {n}, as it does on each day.")
    assert style.notices([]) == ()
    assert "is longer by more than 1.3 times in 100 of 100 pairs, and token_f1" in style.notices(["token_f1"])[0]


@pytest.mark.parametrize(("longer", "shorter", "named"), [(0.4, 0.0, True), (0.4, 0.35, False), (0.1, 0.0, False)])
def test_lengths_that_differ_both_ways_are_not_named(longer, shorter, named):
    """Two arms that are as wordy as each other differ in most pairs; one that is wordier in four of ten is named."""

    def answer(n):
        share = n % 100 / 100
        return "It opens" * 4 if share < longer else "It" if share < longer + shorter else f"It opens at {n}."

    said = [notice for notice in seen(answer, n=400).notices(["token_f1"]) if "answer length" in notice]
    assert bool(said) is named


def test_whole_passages_are_named_whatever_decides():
    """A metric of what is recalled can't tell an answer from a page that holds it; a person is told."""
    pasted = seen(lambda n: f"It opens at {n}. " + "And so it goes on in the page. " * 9)
    assert "over three times as long as the other's 0% -> 100%" in pasted.notices([])[0]
    emptied = seen(lambda n: "" if n % 2 else f"It opens at {n}.")
    assert "as long as" not in str(emptied.notices([]))


def test_a_later_look_takes_it_up():
    """In two looks as in one."""
    assert seen(lambda _: "the same").to_state() == seen(lambda _: "the same", split=50).to_state()
