"""Each sentence of an answer is held against what was retrieved."""

import importlib
import re

import pytest

from benchmarks.paragraphs import OF_CITATIONS, OF_SUPPORT, QUESTIONS, interval, read_questions
from shadoweval.errors import ArgumentError
from shadoweval.records import Hit, Outcome, Scored, Step, Unscored
from shadoweval.scoring import citations, support
from shadoweval.scoring.reference_recall import Said
from shadoweval.scoring.support import sentences_of
from shadoweval.testing import make_pair

HITS = (
    Hit(id="a", rank=1, text="The shop on Main Street opens at 9 in the morning. It closes at 18."),
    Hit(id="b", rank=2, text="Items can be returned within 30 days."),
)
SEARCHED = (Step(kind="retrieval", name="search"),)


def pair_of(answer, hits=HITS, steps=SEARCHED):
    return make_pair(shadow={"outcome": Outcome(answer=answer, hits=hits), "steps": steps})


def score(scorer, answer, **said):
    (made,) = scorer.score(pair_of(answer, **said))
    return made.candidate


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Dr. W. Smith came in 1901. It has 3.5 rooms!", ["Dr. W. Smith came in 1901.", "It has 3.5 rooms!"]),
        ("# Title\n1. First\n2. Second\n- **third**", ["Title", "First", "Second", "third"]),
        ('He said "no." Then he left.', ['He said "no.', "Then he left."]),
        ("東京は首都です。人口は多い。", ["東京は首都です。", "人口は多い。"]),
        ("Use this:\n```\nx = 1.\n```\nDone.", ["Use this:", "Done."]),
        ("...\n\n", []),
        ("", []),
    ],
)
def test_sentences(text, sentences):
    """In any script; abbreviations end none, lists and headings do, code is none."""
    assert sentences_of(text) == sentences


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("The shop opens at nine.", 1.0),
        ("The shop opens at nine [1]. Items can be returned within 30 days [2].\n\nSources: a, b", 1.0),
        ("The shop opens at nine [a] (source: b).", 1.0),
        ("The shop opens at nine. Elephants dance.", 0.5),
        ("Returned within 60 days.", 3 / 8),
        ("It is at 9 that the shop opens, as you can see.", 1.0),
        ("Elephants dance.", 0.0),
        ("", 0.0),
        ("...", 0.0),
    ],
)
def test_support_by_words(answer, value):
    """A sentence has what its words find in one passage of one text, half of it with a wrong number."""
    assert score(support(), answer).value == pytest.approx(value)


def test_entailment_is_asked_once_for_each_text_and_sentence():
    """Any function will do, and alone decides."""
    asked = []

    def entails(text, sentence):
        asked.append((text, sentence))
        return "9" in text and "nine" in sentence

    scorer = support(entails=entails)
    assert score(scorer, "It opens at nine. It is red.") == Scored(0.5)
    assert score(scorer, "It opens at nine. It is red.") == Scored(0.5)
    assert len(asked) == len(set(asked)) == 4
    assert scorer.metrics[0].costly


def test_meaning_counts_half():
    """Any function that makes vectors is a model; all texts of a batch are embedded together, each once."""
    batches = []

    def vectors(texts):
        batches.append(list(texts))
        return [[1.0, float("nine" in text or "9" in text), 0.1] for text in texts]

    scorer = support(vectors)
    scores = list(scorer.score_many([pair_of("Doors: nine."), pair_of("Doors: nine.")]))
    embedded = [text for batch in batches for text in batch]
    assert len(embedded) == len(set(embedded))
    assert len(batches) == 1
    assert scores[0].candidate.value == pytest.approx((0.5 + 1.0) / 2)  # one of two words
    assert "vectors" in scorer.version


def test_what_has_no_text_is_unscored():
    """Nothing retrieved, nothing recorded, or ids alone."""
    assert "without their text" in score(support(), "It.", hits=(Hit(id="a", rank=1),)).reason
    assert "no retrieval was recorded" in score(support(), "It.", hits=(), steps=()).reason
    nothing = score(support(), "It opens.", hits=())
    assert nothing == Unscored("nothing was retrieved", informative=False)


def test_a_model_and_a_judge_are_one_too_many():
    """And what is neither is an error where it is written."""
    with pytest.raises(ArgumentError, match="without model"):
        support("some/model", entails=lambda *_: True)
    with pytest.raises(ArgumentError, match="a function"):
        support(7)
    with pytest.raises(ArgumentError, match="a function"):
        support(entails="yes")


@pytest.mark.parametrize("text", ["A. ", "1. ", "1.\n", "\n", "- \n"])
def test_a_long_text_is_read_in_time(text, grows):
    """Eight times as long takes some eight times as long, whatever an answer is made of."""
    assert grows(sentences_of, text * 3_000, text * 24_000) < 30


def test_more_texts_than_are_remembered_are_each_read_once(monkeypatch):
    """Thousands of hits are read once for an answer, and not once for each of its sentences."""
    read = []
    module = importlib.import_module("shadoweval.scoring.support")
    module._said.cache_clear()
    monkeypatch.setattr(module, "Said", lambda text: read.append(text) or Said(text))
    hits = tuple(Hit(id=f"h{rank}", rank=rank, text=f"Text {rank} that was read.") for rank in range(1, 201))

    score(support(), "Text 7 was read. Text 9 was read. Text 200 was read.", hits=hits)

    assert len(read) == 200


@pytest.mark.parametrize(
    ("scorer", "model"),
    [(support(lambda texts: [[1.0]] * len(texts)), "<lambda>(0)"), (support(entails=max), "max"), (support(), None)],
)
def test_who_says_so_is_named(scorer, model):
    """The model behind the scores is in their provenance."""
    assert re.sub(r"\([0-9a-f]{8}\)", "(0)", scorer.made_by.get("model", "").rpartition(".")[2]) == (model or "")


@pytest.mark.skipif(not QUESTIONS.exists(), reason=f"people's marks are not at {QUESTIONS}")
def test_paragraphs_are_told_apart_as_people_marked_them():
    """On every sixth article what docs/scorers.md says of all: a neighbour is told, a mixed-up answer hardly."""
    questions = [question for question in read_questions() if int(question.article[1:]) % 6 == 0]
    assert len(questions) > 100
    told = {name: interval(support(), contrast, questions) for name, contrast in OF_SUPPORT.items()}
    alone, whole, foreign, mixed_up = (low for _, low, _ in told.values())
    assert alone > 0.94
    assert whole > 0.97
    assert foreign > 0.75
    assert 0.5 < mixed_up < max(high for name, (_, _, high) in told.items() if "another question" in name) < 0.75
    assert [interval(citations(), contrast, questions)[0] for contrast in OF_CITATIONS.values()] == [1.0, 0.5]
