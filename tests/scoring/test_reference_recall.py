"""What a right answer says is said, whatever else is: against cases, properties and people."""

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.answers import ANSWERS, decided, graded, read_answers
from shadoweval.scoring.reference_recall import reference_recall_of, words_of

vocabulary = ["shop", "opens", "nine", "9", "ten", "closes", "daily", "1.5", "東", "京"]
words = st.lists(st.sampled_from(vocabulary), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        ("It was Wilhelm Conrad Röntgen, a German physicist.", "Wilhelm Conrad Röntgen", 1.0),
        ("Wilhelm Röntgen", "Wilhelm Conrad Röntgen", 2 / 3),
        ("the optic chiasma", "optic chiasm", 1.0),
        ("One molecule gives six molecules of carbon dioxide.", "6", 1.0),
        ("It costs 1.000,50 euros.", "1,000.50", 1.0),
        ("The answer is 420.", "42", 0.0),
        ("It opens at nine.", "It opens at ten.", 0.5 * 2 / 3),
        ("日本の首都は東京です。", "東京", 1.0),
        ("京東は会社です。", "東京", 0.0),
        ("กรุงเทพมหานครเป็นเมืองหลวง", "กรุงเทพ", 1.0),
        ("수도는 서울입니다.", "서울", 1.0),
        ("New York", "New York, New York", 0.5),
        ("", "Röntgen", 0.0),
        ("?!", "Röntgen", 0.0),
        ("", "", 0.0),
        ("Niger", "Nigeria", 0.0),
        ("cat", "cats", 0.0),
    ],
)  # fmt: skip
def test_cases(answer, reference, value):
    """The share of the reference's words; half of it where a number is not there."""
    assert reference_recall_of(answer, reference) == pytest.approx(value)


awkward = st.sampled_from([
    "a", "the", "of", "The", "one", "twenty", "million", "5", "000", "1.5", "½", "²", "-", "'", "\u2019", " ", ".", ",",
    "東", "京", "한", "é", "e\u0301", "À", "\u200d", "ก", "ำ", "ف\u0652", "%", "x", "cats", "st",
])  # fmt: skip
texts = st.text(st.characters(exclude_categories=("M", "Cs")), max_size=15)


@given(st.one_of(texts, st.lists(awkward, max_size=10).map("".join)))
def test_a_reference_recalls_itself(text):
    """Whatever it holds, as long as it says anything."""
    assert reference_recall_of(text, text) == (1.0 if words_of(text) else 0.0)


def test_words_far_from_each_other_say_nothing():
    """A long text holds any words somewhere."""
    apart = "Wilhelm " + "and so on " * 40 + "Röntgen"
    assert reference_recall_of(apart, "Wilhelm Röntgen") == 0.5


@given(words, words, st.integers(0, 3))
def test_more_around_it_takes_nothing_away(said, reference, times):
    """An answer that contains the reference scores 1; text before and after an answer never lowers its score."""
    gold = " ".join(reference)
    around = "so they say, and that is it. " * times
    assert reference_recall_of(f"{around}{gold}. {around}", gold) == 1.0
    plain = reference_recall_of(" ".join(said), gold)
    assert 0.0 <= plain <= reference_recall_of(f"{around}; {' '.join(said)}; {around}", gold) <= 1.0
    assert words_of(gold)


@pytest.mark.skipif(not ANSWERS.exists(), reason="the answers that people graded are not beside the project")
class TestAgainstPeople:
    """Five systems' answers to the questions that nothing here was tuned on."""

    def test_pairs_of_systems_are_decided_as_by_people(self):
        """None of ten the wrong way round, at least half as people do; SQuAD's F1 reverses most."""
        pairs = decided(read_answers(half=1), graded)
        assert len(pairs) == 10
        assert not [pair for pair in pairs if pair.wrong]
        assert sum(pair.as_people for pair in pairs) >= 5

    def test_what_says_nothing_never_wins(self):
        """Neither silence nor a refusal, also one that repeats the question, nor one answer for all."""
        answers = read_answers(half=1)
        for system in {row.system for row in answers}:
            rows = [row for row in answers if row.system == system]
            own = statistics.mean(map(graded, rows))
            echoes = [f"I'm sorry, but I can't say {row.query}." for row in rows]
            constants = [[said] * len(rows) for said in ("", "I don't know.", rows[0].answer, rows[-1].answer)]
            for said in (echoes, *constants):
                assert statistics.mean(map(graded, rows, said)) < own - 0.3

    def test_three_times_as_long_is_as_good(self):
        """By repetition, by small talk or by what the system says to other questions."""
        answers = read_answers(half=1)
        for system in {row.system for row in answers}:
            rows = [row for row in answers if row.system == system]
            others = itertools.cycle(row.answer for row in rows[7:] + rows[:7])
            for row_padding in ("repeated", "small talk", "others"):
                changes = [graded(row, _padded(row.answer, row_padding, others)) - graded(row) for row in rows]
                assert 0.0 <= statistics.mean(changes) < 0.01


def _padded(answer, how, others):
    if how == "repeated":
        return " ".join([answer] * 3)
    talk = (
        "I hope that this helps; please let me know what else there is to know about it." if how == "small talk" else ""
    )
    added = itertools.islice(
        itertools.cycle((talk or f"{next(others)} {next(others)}").split()), 2 * len(answer.split())
    )
    return f"{answer} {' '.join(added)}"
