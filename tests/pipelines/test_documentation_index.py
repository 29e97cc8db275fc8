import threading
from pathlib import Path

import numpy as np
import pytest

from pipelines.corpus import Passage
from pipelines.documentation_index import DocumentationIndex, _average_length

ROOT = Path(__file__).parents[2]
CORPUS = (
    Passage("str.split", "str.split", "Return a list of the substrings in the string."),
    Passage("json.dumps", "json.dumps", "Serialize obj to a JSON formatted string."),
    Passage("os.listdir", "os.listdir", "Return a list of the names of the files in a directory."),
    Passage("shutil.rmtree", "shutil.rmtree", "Recursively delete a directory tree."),
)
VECTORS = np.eye(4, 8, dtype=np.float32)


@pytest.fixture
def index():
    index = DocumentationIndex(CORPUS, vectors=VECTORS)
    yield index
    index.close()


def ids(documents):
    return [document.id for document in documents]


def test_by_words_finds_passages_that_share_them(index):
    """Stemmed words of title and text count; a passage with none of them is no hit; each hit says which it is."""
    found = index.by_words("deleting directories recursively", k=3)
    assert ids(found) == ["shutil.rmtree", "os.listdir"]
    assert found[0].page_content == "Recursively delete a directory tree."
    assert found[0].metadata["title"] == "shutil.rmtree"
    assert found[0].metadata["score"] > found[1].metadata["score"] > 0
    assert index.by_words("xylophone", k=3) == []


def bm25(corpus_texts, query_words, *, k=1.2, b=0.75):
    """Robertson's formula over hand-made word lists, with Qdrant's idf."""
    count = len(corpus_texts)
    average = sum(map(len, corpus_texts)) / count
    scores = []
    for words in corpus_texts:
        score = 0.0
        for word in set(query_words):
            holders = sum(word in other for other in corpus_texts)
            idf = np.log1p((count - holders + 0.5) / (holders + 0.5))
            f = words.count(word)
            score += idf * f * (k + 1) / (f + k * (1 - b + b * len(words) / average))
        scores.append(score)
    return scores


def test_scores_are_those_of_the_bm25_formula():
    """Words without stop words or endings, scored by hand: the same numbers, average length included."""
    texts = [["apple"] * 3 + ["pear"], ["apple", "plum", "plum"], ["pear", "grape"], ["melon"] * 5]
    corpus = [Passage(str(row), words[0], " ".join(words[1:])) for row, words in enumerate(texts)]
    index = DocumentationIndex(corpus)
    found = {hit.id: hit.metadata["score"] for hit in index.by_words("apple plum", k=4)}
    index.close()
    expected = bm25(texts, ["apple", "plum"])
    assert set(found) == {"0", "1"}
    assert [found["0"], found["1"]] == pytest.approx(expected[:2], rel=1e-4)
    assert _average_length([" ".join(words) for words in texts]) == pytest.approx(14 / 4, rel=1e-5)


def test_by_words_and_meaning_fuses_both_rankings(index):
    """A passage that both halves find comes first, and one that only its meaning finds is found too."""
    meaning = np.array([0.9, 0.1, 0.0, 0.8, 0, 0, 0, 0], dtype=np.float32)
    found = index.by_words_and_meaning("delete a directory", meaning / np.linalg.norm(meaning), k=4)
    assert ids(found)[0] == "shutil.rmtree"  # First by words and second by meaning.
    assert "str.split" in ids(found)  # Shares no word with the question.
    reciprocal_ranks = 1 / 61 + 1 / 62
    assert found[0].metadata["score"] == pytest.approx(reciprocal_ranks, abs=1e-12)


def test_equal_passages_come_in_the_order_of_the_corpus():
    """Two indexes agree on every hit of every search, ties included: a pipeline must not differ from itself."""
    corpus = [Passage(f"p{row}", "title", "green leaves" if row % 2 else "red leaves") for row in range(40)]
    vectors = np.tile(np.eye(2, 8, dtype=np.float32), (20, 1))
    first, second = (DocumentationIndex(corpus, vectors=vectors) for _ in range(2))
    for index in (first, second, first):
        assert ids(index.by_words("green", k=4)) == ["p1", "p3", "p5", "p7"]
        assert ids(index.by_words("leaves", k=3)) == ["p0", "p1", "p2"]
        assert ids(index.by_words_and_meaning("green", vectors[1], k=3)) == ["p1", "p3", "p5"]
    first.close()
    second.close()


def test_meaning_needs_vectors():
    """An index of words alone refuses a search by meaning instead of answering by half."""
    index = DocumentationIndex(CORPUS)
    with pytest.raises(Exception, match="meaning"):
        index.by_words_and_meaning("delete", VECTORS[0], k=2)
    index.close()


def test_threads_share_an_index(index):
    """Eight threads asking at once get what one alone gets."""
    alone = ids(index.by_words("list of names", k=3))
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(ids(index.by_words("list of names", k=3)))) for _ in "12345678"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert results == [alone] * 8
