"""Characters retrieved and labelled."""

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.errors import CaseFileError
from shadoweval.evaluation.cases import read_cases
from shadoweval.records import Hit, Labels, Scored, Unscored
from shadoweval.records.labelled import Span
from shadoweval.scoring import span_iou, span_precision, span_recall
from shadoweval.scoring.spans import span_scores_of
from shadoweval.testing import make_pair

CHUNKING = Path(__file__).parents[3] / "shared/data/chunking_eval"
spans = st.builds(
    lambda document, start, length: Span(document, start, start + length),
    st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 12),
)  # fmt: skip


def counted(retrieved, relevant):
    """Character by character."""
    wanted = {(span.document, at) for span in relevant for at in range(span.start, span.end)}
    taken = Counter((span.document, at) for span in retrieved for at in range(span.start, span.end))
    both = len(wanted & taken.keys())
    return (
        both / len(wanted),
        both / taken.total() if taken else 0.0,
        both / (taken.total() + len(wanted - taken.keys())),
    )


@given(retrieved=st.lists(spans, max_size=6), relevant=st.lists(spans, min_size=1, max_size=4))
def test_scores_are_those_of_sets_of_characters(retrieved, relevant):
    """Whatever overlaps, touches or lies in another document."""
    assert span_scores_of(retrieved, relevant) == pytest.approx(counted(retrieved, relevant), abs=1e-12)


@cache
def chunking():
    if not CHUNKING.exists():
        pytest.skip(f"the chunking data is not at {CHUNKING}")
    corpora = [json.loads(line) for line in (CHUNKING / "corpora.jsonl").read_text(encoding="utf-8").splitlines()]
    queries = [json.loads(line) for line in (CHUNKING / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    return {corpus["corpus_id"]: corpus["text"] for corpus in corpora}, queries


def chunks_around(text, span, *, size, step):
    """The chunks of a chunking that share a character with the first labelled span, and the one before."""
    first = max(0, (span["start"] - size) // step - 1)
    return [(at * step, min(len(text), at * step + size)) for at in range(first, span["end"] // step + 1)][:5]


@pytest.mark.parametrize(("size", "step"), [(400, 400), (400, 200), (1000, 900)])
@pytest.mark.parametrize("known_by", ["id", "text"])
def test_spans_of_real_chunkings(known_by, size, step):
    """472 questions over five corpora: hits known by their characters, or found by their text, overlapping or not."""
    texts, queries = chunking()
    compared = 0
    for query in queries:
        corpus = query["corpus_id"]
        text = texts[corpus]
        chunks = chunks_around(text, query["spans"][0], size=size, step=step)
        if known_by == "text" and any(text.find(text[a:b]) != a for a, b in chunks):
            continue  # the corpus repeats itself: the text alone does not say where it stands
        hits = [
            Hit(id=f"{corpus}#char={a},{b}" if known_by == "id" else f"{corpus}#{a}", rank=rank, text=text[a:b])
            for rank, (a, b) in enumerate(chunks, 1)
        ]
        relevant = {f"{corpus}#char={span['start']},{span['end']}": 1 for span in query["spans"]}
        pair = make_pair(served={"hits": hits}, labels=Labels(relevant=relevant))
        expected = counted(
            [Span(corpus, a, b) for a, b in chunks], [Span(corpus, s["start"], s["end"]) for s in query["spans"]]
        )
        for scorer, value in zip((span_recall, span_precision, span_iou), expected, strict=True):
            (score,) = scorer(5, documents=texts).score(pair)
            assert score.incumbent.value == pytest.approx(value, abs=1e-12), query["query_id"]
        compared += 1
    assert compared > 400


def test_a_case_file_names_spans_and_documents(tmp_path):
    """In words, and by the form of ids."""
    file = tmp_path / "cases.jsonl"
    lines = [
        {"query": "one", "spans": [{"document": "book", "start": 3, "end": 9, "text": "people read this"}]},
        {"query": "two", "relevant": {"book": 2, "leaf#*": 1}, "relevant_are": "document"},
        {"query": "three", "relevant": {"book#char=1,2": 1}, "relevant_are": "span"},
        {"query": "four", "relevant": {"book#1": 1}},
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    assert [case.labels.relevant for case in read_cases(file)] == [
        {"book#char=3,9": 1},
        {"book#*": 2, "leaf#*": 1},
        {"book#char=1,2": 1},
        {"book#1": 1},
    ]
    for wrong, said in (
        ({"spans": [{"document": "book", "start": 9, "end": 9}]}, "start"),
        ({"relevant": {"book": 1}, "relevant_are": "span"}, "names no span"),
        ({"relevant": {"book": 1}, "relevant_are": "page"}, "relevant_are"),
    ):
        file.write_text(json.dumps({"query": "q", **wrong}))
        with pytest.raises(CaseFileError, match=said):
            read_cases(file)


def test_what_has_no_characters_is_unscored():
    """No labelled span, or a hit that can't be found."""
    (score,) = span_recall().score(make_pair(served={"hits": ["a"]}, labels=Labels(relevant={"a": 1})))
    assert "no span" in score.incumbent.reason
    labels = Labels(relevant={"a#char=0,4": 1})
    pair = make_pair(served={"hits": ["a#1"]}, shadow={"hits": [Hit(id="a#1", rank=1, text="text")]}, labels=labels)
    (score,) = span_recall(documents={"a": "text"}).score(pair)
    assert (type(score.incumbent), score.candidate) == (Unscored, Scored(1.0))


def test_texts_of_documents_make_another_version():
    """What had no characters before may have them then."""
    assert span_recall().version != span_recall(documents={"handbook": "all of it"}).version
