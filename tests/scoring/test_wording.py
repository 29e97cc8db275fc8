"""Length and repetition count words, whatever they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.records import Scored
from shadoweval.scoring import length, repetition
from shadoweval.scoring.wording import repetition_of
from shadoweval.testing import make_pair


def score(scorer, answer):
    (made,) = scorer.score(make_pair(shadow={"answer": answer}))
    return made.candidate


@pytest.mark.parametrize(
    ("answer", "words", "characters"),
    [("It's at 9 o'clock!", 4, 12), ("東京タワー。", 5, 5), ("Ro\u0308ntgen", 1, 7), ("", 0, 0), ("…", 0, 0)],
)
def test_length_in_any_script(answer, words, characters):
    """Words where spaces part them, characters where they don't."""
    assert score(length(), answer) == Scored(float(words))
    assert score(length("characters"), answer) == Scored(float(characters))


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("a b c d", 0.0),
        ("a b c d e f g h", 0.0),
        ("a b c d a b c d", 1 / 5),
        ("no no no no no no", 2 / 3),
        ("yes", 0.0),
        ("", 1.0),
        ("?!", 1.0),
    ],
)
def test_repetition_of_hand_counted_answers(answer, share):
    """Runs of four words that stood there before; an answer without a word is as bad as a failed run."""
    assert score(repetition(), answer).value == pytest.approx(share)


@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=30))
def test_a_loop_repeats_more_than_what_it_repeats(words):
    """Said three times, a text repeats at least half of itself."""
    assert repetition_of(words * 3, n=4) >= max(0.5, repetition_of(words, n=4))
