"""Similarity by any model: batched, each distinct text once, and the same of a pair whatever it is asked with."""

import json
from string import ascii_lowercase

import pytest

from shadoweval.errors import ArgumentError
from shadoweval.protocols import BatchScorer
from shadoweval.records import Failure, Labels, Scored
from shadoweval.scoring import Embedder, SentenceModel, semantic_similarity
from shadoweval.testing import make_pair


class Vectors:
    """Embeds a text by its letters, and keeps what it was asked at once."""

    model_name = "letters"

    def __init__(self):
        self.batches = []

    def embed_documents(self, texts):
        self.batches.append(list(texts))
        return [[1.0, *(float(text.lower().count(letter)) for letter in ascii_lowercase)] for text in texts]


def pairs():
    labels = Labels(references=("the shop opens at nine", "at nine"))
    answers = ["at nine", "at ten", "", "At nine, as ever."]
    made = [
        make_pair(number, served={"answer": "at nine"}, shadow={"answer": answers[number % 4]}, rerun={}, labels=labels)
        for number in range(12)
    ]
    broken = make_pair(12, shadow={"failure": Failure(kind="crash")}, labels=labels)
    return [*made, broken, make_pair(13)]


def test_each_distinct_text_is_embedded_once_in_one_batch():
    """References, both arms' answers and the re-run's, of all pairs."""
    vectors = Vectors()
    scorer = semantic_similarity(model=vectors)
    assert isinstance(scorer, BatchScorer)
    many = list(scorer.score_many(pairs()))
    (batch,) = vectors.batches
    assert len(batch) == len(set(batch)) == 5
    assert many == [score for pair in pairs() for score in semantic_similarity(model=Vectors()).score(pair)]
    assert many[0].incumbent.value == pytest.approx(1.0)
    assert many[2].candidate == Scored(0.0)


def test_one_bad_vector_costs_one_pair():
    """A model that can't embed one text fails the batch, and then that pair alone."""
    from shadoweval.evaluation.rescoring import _made_at_once

    def vectors(texts):
        return [[0.0, 0.0] if text == "bad" else [1.0, float(len(text))] for text in texts]

    labels = Labels(reference="good")
    asked = [make_pair(n, shadow={"answer": "bad" if n == 1 else "good"}, labels=labels) for n in range(3)]
    candidates = [scores[0].candidate for scores in _made_at_once(semantic_similarity(model=vectors), asked)]
    assert candidates[0] == candidates[2] == Scored(1.0)
    assert "EmbeddingError" in candidates[1].reason


def test_the_version_names_the_model_and_no_place(tmp_path):
    """Another model scores otherwise; where it lies makes no difference."""
    made = [
        semantic_similarity(),
        semantic_similarity(model="BAAI/bge-small-en-v1.5"),
        semantic_similarity(model=tmp_path / "bge"),
        semantic_similarity(model=Vectors()),
        semantic_similarity(lambda a, r: 0.5),
        semantic_similarity(model=Vectors(), version="mine/1"),
    ]
    assert len({scorer.version for scorer in made}) == len(made)
    assert str(tmp_path) not in json.dumps([scorer.version for scorer in made])
    same = [SentenceModel(tmp_path / "bge"), Embedder(SentenceModel(tmp_path / "bge")), str(tmp_path / "bge")]
    assert {semantic_similarity(model=model).version for model in same} == {made[2].version}


def test_what_is_no_model_is_an_error_where_it_is_written():
    """With what was meant."""
    with pytest.raises(ArgumentError, match="model='BAAI/bge'"):
        semantic_similarity("BAAI/bge")
    with pytest.raises(ArgumentError, match="without similarity"):
        semantic_similarity(lambda a, r: 0.5, model="BAAI/bge")
    with pytest.raises(ArgumentError, match="a function"):
        semantic_similarity(model=7)
