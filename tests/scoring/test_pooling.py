"""Pools that a judge or people judge, each document once."""

import json
import stat
from functools import partial

import pytest

from shadoweval.errors import ArgumentError, UnknownArgumentError
from shadoweval.records import Hit, Labels, Scored, Unscored
from shadoweval.scoring import pool
from shadoweval.testing import make_pair


class Judge:
    """Says yes to what it is told to, and counts."""

    def __init__(self, *relevant, fault=None):
        self.relevant, self.asked, self.fault = relevant, [], fault

    def __call__(self, query, document):
        self.asked.append((query, document))
        if self.fault is not None:
            raise self.fault
        return document in self.relevant


def hits(*texts, prefix="d"):
    return [Hit(id=f"{prefix}{rank}", rank=rank, text=text) for rank, text in enumerate(texts, 1)]


def pair_of(served, shadow, **more):
    return make_pair(served={"hits": served}, shadow={"hits": shadow}, **more)


def scores(scorer, pair):
    return {score.metric: (score.incumbent, score.candidate) for score in scorer.score(pair)}


def test_recall_and_ndcg_over_the_union_of_both_arms():
    """Three relevant documents in the pool; one arm has two of them, the other one."""
    scorer = pool(Judge("a", "b", "c"), k=3)
    made = scores(scorer, pair_of(hits("a", "x", "b"), hits("c", "x", "y", prefix="new-")))
    assert made["pooled_recall@3"] == (Scored(2 / 3), Scored(1 / 3))
    assert made["pooled_judged@3"] == (Scored(1.0), Scored(1.0))
    assert made["pooled_ndcg@3"][0].value > made["pooled_ndcg@3"][1].value
    assert made["pooled_recall_low@3"] == made["pooled_recall_high@3"] == made["pooled_recall@3"]
    assert list(made) == [metric.name for metric in scorer.metrics]


def test_each_document_is_judged_once_for_ever(tmp_path):
    """In both arms and the re-run, under any id, at any look, in any process that has the file; another query anew."""
    judge, file = Judge("a"), tmp_path / "folder" / "judgements.jsonl"
    pair = pair_of(hits("a", "x"), hits("x", "a", prefix="new-"), rerun={"hits": hits("a")})
    first = pool(judge, k=2, cache=file)
    assert scores(first, pair) == scores(first, pair)
    assert sorted(document for _, document in judge.asked) == ["a", "x"]
    other = Judge(fault=AssertionError("asked again"))
    again = pool(other, k=2, cache=file, version="Judge")
    assert scores(again, pair) == scores(first, pair)
    assert len(other.asked) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "question" not in file.read_text()
    scores(first, pair_of(hits("a"), hits("a"), query={"text": "another question"}))
    assert len(judge.asked) == 3


def test_another_judge_is_asked_anew_and_what_others_add_is_seen(tmp_path):
    """Grades are a judge's own; two scorers over one file read what the other has added."""
    file = tmp_path / "judgements.jsonl"
    pair = pair_of(hits("a"), hits("b"))
    one, two = pool(Judge("a"), cache=file, version="one"), pool(Judge("b"), cache=file, version="two")
    assert scores(one, pair)["pooled_recall@5"] == (Scored(1.0), Scored(0.0))
    assert scores(two, pair)["pooled_recall@5"] == (Scored(0.0), Scored(1.0))
    silent = Judge(fault=AssertionError("asked again"))
    assert scores(pool(silent, cache=file, version="two"), pair)["pooled_recall@5"] == (Scored(0.0), Scored(1.0))


def equal(wanted, _, document):
    return document == wanted


def above(least):
    """A judge that a function makes."""
    return lambda _, document: len(document) > least


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (lambda _, document: document == "a", lambda _, document: document == "bb"),
        (above(0), above(1)),
        (partial(equal, "a"), partial(equal, "bb")),
    ],
    ids=["lambdas", "made by a function", "partials"],
)
def test_judges_without_a_name_of_their_own_share_no_judgement(tmp_path, one, two):
    """Two lambdas are two judges, in the file and in the scores' version; the same one made again is the same."""
    pair = pair_of(hits("a"), hits("bb"))
    first, second = (pool(judge, cache=tmp_path / "judgements.jsonl") for judge in (one, two))
    alone = pool(two)
    assert scores(first, pair) != scores(alone, pair)
    assert scores(second, pair) == scores(alone, pair)
    assert first.version != second.version == alone.version


def test_a_torn_line_costs_itself(tmp_path):
    """What a killed process left at the end, or in the middle, is passed over."""
    file = tmp_path / "judgements.jsonl"
    pair = pair_of(hits("a"), hits("b"))
    scores(pool(Judge("a"), cache=file, version="j"), pair)
    file.write_text('{"key": 5\n' + file.read_text() + '{"key": "torn')
    silent = Judge(fault=AssertionError("asked again"))
    assert scores(pool(silent, cache=file, version="j"), pair)["pooled_recall@5"] == (Scored(1.0), Scored(0.0))


def test_a_person_comes_before_the_judge_and_is_remembered_by_content(tmp_path):
    """A label by the old id grades the same text under a new one, in other pairs too."""
    judge, file = Judge("a", "b"), tmp_path / "judgements.jsonl"
    scorer = pool(judge, cache=file)
    labels = Labels(relevant={"d1": 0})
    labelled = pair_of(hits("a", "b"), hits("a", prefix="new-"), labels=labels)
    assert scores(scorer, labelled)["pooled_recall@5"] == (Scored(1.0), Scored(0.0))
    assert [document for _, document in judge.asked] == ["b"]
    unlabelled = pair_of(hits("a", prefix="later-"), hits("b", prefix="later-"))
    assert scores(scorer, unlabelled)["pooled_recall@5"] == (Scored(0.0), Scored(1.0))


def test_what_nobody_judged_leaves_bounds():
    """People judged two of three: no recall, and between which values it lies; or as trec_eval has it."""
    pair = pair_of(hits("a", "b"), hits("a", "new", prefix="n"), labels=Labels(relevant={"d1": 1, "d2": 1}))
    made = scores(pool(k=2), pair)
    incumbent, candidate = made["pooled_recall@2"]
    assert incumbent == candidate == Unscored("a document of the pool is not judged: no person has judged it", False)
    assert made["pooled_judged@2"] == (Scored(1.0), Scored(0.5))
    assert made["pooled_recall_low@2"] == (Scored(2 / 3), Scored(0.5))
    assert made["pooled_recall_high@2"] == (Scored(1.0), Scored(2 / 3))
    irrelevant = scores(pool(k=2, unjudged="irrelevant"), pair)
    assert irrelevant["pooled_recall@2"] == (Scored(1.0), Scored(0.5))


@pytest.mark.parametrize(("fault", "informative"), [(TimeoutError("busy"), False), (ValueError("can't read it"), True)])
def test_a_judge_that_fails_leaves_the_document_unjudged_and_is_asked_again(fault, informative):
    """A busy judge says nothing of the document; whatever else it raises may lie in it. Nothing is remembered."""
    judge = Judge("a", fault=fault)
    scorer, pair = pool(judge), pair_of(hits("a"), hits("b"))
    score, _ = scores(scorer, pair)["pooled_recall@5"]
    assert str(fault) in score.reason
    assert score.informative is informative
    judge.fault = None
    assert scores(scorer, pair)["pooled_recall@5"] == (Scored(1.0), Scored(0.0))


@pytest.mark.parametrize("said", [2, -1, float("nan"), "yes", None])
def test_what_is_no_grade_is_no_judgement(said):
    """Nor an error of the evaluation's."""
    score, _ = scores(pool(lambda query, document: said), pair_of(hits("a"), hits("b")))["pooled_recall@5"]
    assert isinstance(score, Unscored)


def test_grades_are_gains(tmp_path):
    """Up to the highest that is said."""
    scorer = pool(lambda query, document: {"best": 3, "good": 1}.get(document, 0), highest=3)
    incumbent, candidate = scores(scorer, pair_of(hits("good", "best"), hits("best", "good")))["pooled_ndcg@5"]
    assert incumbent.value < candidate.value == 1.0


def test_nothing_retrieved_is_no_pool_and_nothing_relevant_no_recall():
    """Each with its reason; an arm of which no retrieval was recorded has none either, which may be its doing."""
    made = scores(pool(Judge()), pair_of(hits("a"), hits("b")))
    assert "relevant" in made["pooled_recall@5"][0].reason
    made = scores(pool(Judge("a")), pair_of(hits("a"), []))
    assert "no retrieval was recorded" in made["pooled_recall@5"][1].reason


def test_what_cannot_be_used_is_refused():
    """Where it is written."""
    with pytest.raises(UnknownArgumentError, match="cache"):
        pool(Judge(), cach="x")
    with pytest.raises(ArgumentError, match="unjudged"):
        pool(unjudged="zero")
    with pytest.raises(ArgumentError, match="judge"):
        pool("gpt")

    async def later(query, document):
        return 1

    with pytest.raises(ArgumentError, match="async"):
        pool(later)


def test_the_file_holds_hashes_and_grades_alone(tmp_path):
    """No text of a query or document."""
    file = tmp_path / "judgements.jsonl"
    scores(pool(Judge("a secret document"), cache=file), pair_of(hits("a secret document"), hits("b")))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 2
    assert all(set(line) == {"key", "grade"} and "secret" not in line["key"] for line in lines)
