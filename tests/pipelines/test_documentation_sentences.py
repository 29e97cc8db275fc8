"""The documentation's sentences and their vectors."""

import logging

import numpy as np
import pytest

from pipelines.corpus import Passage
from pipelines.documentation_sentences import KnownSentences, prepare, sentences, shown
from pipelines.documentation_vectors import WIDTH
from pipelines.offline_model import sentences_of

CORPUS = (
    Passage("list.sort", "list.sort", "Sort the list in place. It returns\nNone always.\n\nStable sort."),
    Passage("sorted", "sorted", "Return a new list. It returns None always."),
)


class Counting:
    """Embeds by a text's length, and counts the texts."""

    def __init__(self):
        self.texts: list[str] = []

    def __call__(self, texts, /):
        self.texts += texts
        return np.array([[len(text), *[1.0] * (WIDTH - 1)] for text in texts], dtype=np.float32)


@pytest.fixture(name="cache")
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCUMENTATION_CACHE", str(tmp_path))
    return tmp_path


def test_wrapped_lines_are_one_sentence_and_repeated_ones_one_text():
    """A sentence goes over line breaks, ends with its paragraph, and stands once whoever says it."""
    texts = sentences(CORPUS)

    assert "It returns None always." in texts
    assert len(texts) == len(set(texts))


def test_they_are_what_the_reader_weighs():
    """Every sentence that the reader cuts from a passage as it is shown is among them."""
    known = set(sentences(CORPUS))

    assert all(set(sentences_of(shown(p.title, p.text))) <= known for p in CORPUS)


def test_known_sentences_cost_no_embedding(cache):
    """After they were prepared only other texts are embedded, and each text has its own vector."""
    builder, asked = Counting(), Counting()
    prepare(CORPUS, builder)
    known = KnownSentences(asked)

    vectors = known(["It returns None always.", "a question?", "It returns None always."])

    assert asked.texts == ["a question?"]
    assert vectors[:, 0].tolist() == [23.0, 11.0, 23.0]


def test_without_a_cache_everything_is_embedded(cache):
    """Nothing prepared is no error: the texts are embedded as they come."""
    asked = Counting()

    vectors = KnownSentences(asked)(["It returns None always.", "a question?"])

    assert vectors.shape == (2, WIDTH)
    assert len(asked.texts) == 2


def test_only_what_the_file_lacks_is_embedded(cache):
    """Further passages cost their own sentences alone, the same ones again nothing, and all are known afterwards."""
    first, second, again, asked = Counting(), Counting(), Counting(), Counting()
    prepare(CORPUS[:1], first)
    prepare(CORPUS, second)
    prepare(CORPUS, again)

    assert set(first.texts) == set(sentences(CORPUS[:1]))
    assert set(second.texts) == set(sentences(CORPUS)) - set(first.texts)
    assert again.texts == asked.texts == []
    assert KnownSentences(asked)(sentences(CORPUS))[:, 0].tolist() == [len(text) for text in sentences(CORPUS)]


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_damaged_file_is_reported_and_its_sentences_are_embedded_again(cache, caplog, part):
    """A file cut short costs a warning and the work, never a wrong vector; `prepare` then mends it."""
    prepare(CORPUS, Counting())
    (path,) = cache.glob("*.npz")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    asked, builder, after = Counting(), Counting(), Counting()
    with caplog.at_level(logging.WARNING):
        vectors = KnownSentences(asked)(["Stable sort."])

    assert asked.texts == ["Stable sort."]
    assert vectors[0, 0] == len("Stable sort.")
    assert "damaged" in caplog.text
    prepare(CORPUS, builder)
    KnownSentences(after)(sentences(CORPUS))
    assert set(builder.texts) == set(sentences(CORPUS))
    assert after.texts == []
