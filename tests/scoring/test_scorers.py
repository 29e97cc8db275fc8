"""Scorers over pairs."""

from dataclasses import replace

import pytest

from shadoweval.errors import ArgumentError, UnknownArgumentError
from shadoweval.protocols import Metric, Scorer
from shadoweval.records import Failure, Labels, Scored, Step, ToolCall, Unscored, Usage
from shadoweval.scoring import (
    PairScorer,
    answer_quality,
    argument_validity,
    arguments,
    average_precision,
    bpref,
    cache_hits,
    cascade,
    citations,
    context_precision,
    cost,
    errors,
    exact_match,
    first_chunk,
    format,  # noqa: A004 - the metric's name
    hit_rate,
    index_recall,
    judged,
    language,
    latency,
    length,
    mean_average_precision,
    mrr,
    ndcg,
    near_duplicates,
    overlap,
    precision,
    r_precision,
    recall,
    recall_at_level,
    redundancy,
    refusal,
    repetition,
    rouge_l,
    semantic_similarity,
    support,
    token_f1,
    tokens,
    tool_calls_f1,
    tool_success,
    trajectory,
    writes_f1,
)
from shadoweval.testing import make_pair

CRASH = Failure(kind="crash", message="exit 9")
ALL = [
    recall(5), precision(5), hit_rate(5), mrr(10), ndcg(10), overlap(5),
    average_precision(10), bpref(), judged(5), mean_average_precision(), r_precision(), recall_at_level(5),
    context_precision(5), redundancy(5), near_duplicates(5), index_recall(), cache_hits(),
    exact_match(), token_f1(), rouge_l(), semantic_similarity(lambda a, b: 0.5), answer_quality(),
    tool_success(), tool_calls_f1(), writes_f1(), trajectory(), trajectory(against="reference"), arguments(),
    arguments(against="reference"), argument_validity(), latency(), first_chunk(), tokens(), cost(), errors(),
    refusal(), format(), length(), repetition(), citations(), support(), language(),
    token_f1("words").named("token_f1_words"), cascade(token_f1(), answer_quality(), name="cascade"),
]  # fmt: skip


def scores_nothing(observation, pair):
    return {}


def scores(scorer, pair):
    (score,) = scorer.score(pair)
    return score.incumbent, score.candidate


def test_a_scorer_under_another_name_scores_the_same():
    """Metric, direction, version and the batches of a model stay; whose scores they are can still be told."""
    one, other = (semantic_similarity(model=lambda texts: [[len(text), 1.0] for text in texts]) for _ in range(2))
    renamed = other.named("similarity_2")
    pairs = [make_pair(shadow={"answer": "no"}, labels=Labels(reference="yes, or no"))]

    (before,), (after,) = one.score_many(pairs), renamed.score_many(pairs)

    assert (after.metric, after.candidate, after.incumbent) == ("similarity_2", before.candidate, before.incumbent)
    assert renamed.metrics == (replace(one.metrics[0], name="similarity_2"),)
    assert renamed.score_one.__qualname__ == one.score_one.__qualname__
    assert renamed.made_by == one.made_by


@pytest.mark.parametrize(
    ("scorer", "complaint"),
    [
        (
            PairScorer(metrics=(*latency().metrics, *errors().metrics), version="1", score_one=scores_nothing),
            r"a single one, got \['latency', 'errors'",
        ),
        (PairScorer(metrics=errors().metrics, version="1", score_one=scores_nothing, rebuild=True), "without rebuild"),
        (errors(), "Metric.name must be a name"),
    ],
    ids=["several", "rebuilt", "empty"],
)
def test_a_name_that_cannot_be_given_is_refused(scorer, complaint):
    """Several metrics have several names, and another process can't import a function that was made here."""
    with pytest.raises(ArgumentError, match=complaint):
        scorer.named("")


@pytest.mark.parametrize("scorer", ALL, ids=lambda s: s.metrics[0].name)
class TestEveryScorer:
    def test_is_a_scorer(self, scorer):
        """It has metrics and a version before it scores anything."""
        assert isinstance(scorer, Scorer)
        assert scorer.version

    def test_never_raises_on_bare_pairs(self, scorer):
        """A pair without labels, hits or tokens gives a value or a reason for each metric."""
        made = list(scorer.score(make_pair()))

        assert [s.metric for s in made] == [m.name for m in scorer.metrics]
        assert all(isinstance(s.candidate, Scored | Unscored) for s in made)

    def test_a_failed_candidate_is_never_left_out_for_the_wrong_reason(self, scorer):
        """A crash scores what the metric says it costs, or is unscored as failed."""
        (metric,) = scorer.metrics
        pair = make_pair(shadow={"failure": CRASH}, rerun={}, labels=Labels(relevant={"d": 1}, reference="r"))

        _, candidate = scores(scorer, pair)

        expected = Unscored("failed: crash") if metric.failure_scores is None else Scored(metric.failure_scores)
        assert candidate == expected


@pytest.mark.parametrize(
    ("scorer", "incumbent", "candidate"),
    [
        (recall(2), 0.5, 1.0),
        (precision(2), 0.5, 1.0),
        (hit_rate(1), 1.0, 1.0),
        (mrr(10), 1.0, 1.0),
        (average_precision(10), 0.5, 1.0),
        (bpref(), 0.5, 1.0),
        (judged(2), 1.0, 1.0),
    ],
    ids=lambda value: value.metrics[0].name if isinstance(value, PairScorer) else str(value),
)
def test_retrieval_by_judgements(scorer, incumbent, candidate):
    """Both rankings are scored by the same judgements."""
    labels = Labels(relevant={"a": 2, "b": 1, "x": 0})
    pair = make_pair(served={"hits": ["a", "x"]}, shadow={"hits": ["b", "a"]}, labels=labels)

    assert scores(scorer, pair) == (Scored(incumbent), Scored(candidate))


def test_unjudged_queries_are_unscored():
    """Without judgements there is no recall, and the reason says so."""
    incumbent, candidate = scores(recall(5), make_pair(served={"hits": ["a"]}))

    assert isinstance(incumbent, Unscored)
    assert "judged" in candidate.reason


def test_overlap_is_compared_with_the_rerun():
    """The candidate's agreement with what was served stands beside the incumbent's own."""
    pair = make_pair(served={"hits": ["a", "b"]}, shadow={"hits": ["a", "c"]}, rerun={"hits": ["b", "a"]})

    assert scores(overlap(2), pair) == (Scored(1.0), Scored(1 / 3))


def test_answers_against_the_reference():
    """Both answers are held against the reference."""
    pair = make_pair(
        served={"answer": "The cat sat"}, shadow={"answer": "a dog ran"}, labels=Labels(reference="the cat sat")
    )

    assert scores(exact_match(), pair) == (Scored(1.0), Scored(0.0))
    assert scores(token_f1(), pair) == (Scored(1.0), Scored(0.0))


@pytest.mark.parametrize(
    "scorer", [exact_match(), token_f1(), rouge_l(), semantic_similarity(lambda a, r: float(a == r))],
    ids=lambda scorer: scorer.metrics[0].name,
)  # fmt: skip
def test_the_best_of_several_references_counts(scorer):
    """Each arm may say another of the right answers; one without a word is passed over."""
    labels = Labels(references=("...", "nine", "from nine on"))
    pair = make_pair(served={"answer": "nine"}, shadow={"answer": "from nine on"}, labels=labels)

    assert scores(scorer, pair) == (Scored(1.0), Scored(1.0))


def test_words_of_any_script():
    """Text without spaces has words all the same where it is asked for."""
    pair = make_pair(served={"answer": "東京都"}, shadow={"answer": "東京"}, labels=Labels(reference="東京"))

    assert scores(token_f1(tokens="words"), pair) == (Scored(4 / 5), Scored(1.0))
    assert scores(token_f1(), pair) == (Scored(0.0), Scored(1.0))
    assert token_f1(tokens="words").version != token_f1().version


def test_how_texts_are_split_is_chosen_and_checked():
    """By name or by a function of one's own, whose tokens may come in any iterable."""
    pair = make_pair(served={"answer": "a-b"}, shadow={"answer": "a b"}, labels=Labels(reference="a b"))

    def by_spaces(text):
        yield from text.split()

    for made in (exact_match, token_f1, rouge_l):
        assert scores(made(tokens=by_spaces), pair) == (Scored(0.0), Scored(1.0))
        assert scores(made(tokens="words"), pair) == (Scored(1.0), Scored(1.0))
        assert len({made().version, made("words").version, made(by_spaces).version, made(version="own/1").version}) == 4
        with pytest.raises(ArgumentError, match="Did you mean 'characters'"):
            made(tokens="charakters")
    with pytest.raises(UnknownArgumentError, match="tokens='words'"):
        token_f1(any_script=True)


def test_quality_is_what_is_recalled_of_a_right_answer():
    """Whatever else is said; only an own definition may go by length."""
    labels = Labels(references=("Wilhelm Röntgen", "Röntgen"))
    pair = make_pair(
        served={"answer": "Röntgen"}, shadow={"answer": "I think it was W. RÖNTGEN in 1901."}, labels=labels
    )

    assert scores(answer_quality(), pair) == (Scored(1.0), Scored(1.0))
    assert [answer_quality(how).metrics[0].length_sensitive for how in (None, lambda a, r: 1.0)] == [False, True]


def test_an_own_definition_of_quality():
    """A user's function is the metric."""
    pair = make_pair(served={"answer": "abc"}, shadow={"answer": "a"}, labels=Labels(reference="abcd"))

    assert scores(answer_quality(lambda a, r: len(a) / len(r)), pair) == (Scored(0.75), Scored(0.25))


def test_a_raising_definition_unscores_with_its_error():
    """What a user's scorer raises becomes the reason."""
    pair = make_pair(labels=Labels(reference="r"))

    _, candidate = scores(answer_quality(lambda a, r: 1 / 0), pair)

    assert candidate == Unscored("ZeroDivisionError: division by zero")


def test_tool_success_leaves_refusals_out():
    """A call that the shadow refused is neither success nor failure of the candidate."""
    calls = [
        ToolCall(name="a", result=1, answered="replayed"),
        ToolCall(name="b", error="boom", answered="live"),
        ToolCall(name="c", error="refused", answered="refused"),
    ]

    assert scores(tool_success(), make_pair(shadow={"calls": calls}))[1] == Scored(0.5)
    assert scores(tool_success(), make_pair(shadow={"calls": calls[2:]}))[1] == Unscored(
        "the shadow refused every tool call"
    )


@pytest.mark.parametrize(
    ("made", "value"),
    [
        ([], 0.0),
        ([("pay", {"n": 10})], 1.0),
        ([("pay", {"n": 10.0})], 1.0),
        ([("pay", {"n": "10"})], 0.0),
        ([("pay", {"n": 10}), ("pay", {"n": 10})], 2 / 3),
        ([("pay", {"n": 10, "to": "evil"})], 0.0),
    ],
)
def test_expected_calls(made, value):
    """Paying twice, to somebody else or a text instead of a number is not the expected call."""
    labels = Labels(expected_calls=(ToolCall(name="pay", arguments={"n": 10}, effect="write"),))
    calls = [ToolCall(name=name, arguments=arguments, effect="write") for name, arguments in made]

    assert scores(writes_f1(), make_pair(shadow={"calls": calls}, labels=labels))[1] == Scored(value)


def test_none_expected_and_one_made_is_wrong():
    """Where no call was wanted the arm that makes none is right, and the other is not."""
    pair = make_pair(served={"calls": [ToolCall(name="pay", effect="write")]}, labels=Labels(expected_calls=()))

    assert scores(tool_calls_f1(), pair) == (Scored(0.0), Scored(1.0))
    assert scores(writes_f1(), pair) == (Scored(0.0), Scored(1.0))


SEARCHED = {"steps": (Step(kind="retrieval", name="search"),)}


@pytest.mark.parametrize(
    ("scorer", "labels", "why"),
    [
        (tool_success(), Labels(), "no tool call was made"),
        (tool_calls_f1(), Labels(expected_calls=()), "no tool call was expected, and none was made"),
        (writes_f1(), Labels(expected_calls=()), "no tool call was expected, and none was made"),
        (overlap(5), Labels(), "neither run retrieved anything"),
        (judged(5), Labels(relevant={"a": 1}), "nothing was retrieved"),
        (exact_match(), Labels(reference="The?"), "no word to compare with"),
        (token_f1(), Labels(reference="a"), "no word to compare with"),
        (token_f1(tokens="words"), Labels(reference="…"), "no word to compare with"),
        (rouge_l(), Labels(reference="?!"), "no word to compare with"),
        (rouge_l(), Labels(reference="👍"), "no word to compare with"),
        (semantic_similarity(lambda *_: 1.0), Labels(reference=" "), "no word to compare with"),
        (answer_quality(lambda *_: 1.0), Labels(reference=""), "no word to compare with"),
    ],
    ids=lambda each: each.metrics[0].name if hasattr(each, "metrics") else "",
)
def test_a_score_of_nothing_is_none(scorer, labels, why):
    """Two empty lists are not alike, no call is no success, and an empty reference is no question answered."""
    pair = make_pair(served=SEARCHED, shadow=SEARCHED, rerun=SEARCHED, labels=labels)
    for score in scores(scorer, pair):
        assert isinstance(score, Unscored)
        assert why in score.reason


def test_seconds_are_compared_with_the_rerun():
    """The served run's latency is never the other side of the comparison."""
    pair = make_pair(served={"duration": 9.0}, shadow={"duration": 0.3}, rerun={"duration": 0.2})

    assert scores(latency(), pair) == (Scored(0.2), Scored(0.3))
    assert isinstance(scores(latency(), make_pair())[0], Unscored)


def test_tokens_and_dollars():
    """Tokens of both directions are added; a price that nobody knows is unscored."""
    pair = make_pair(shadow={"usage": Usage(input_tokens=10, output_tokens=5)}, rerun={})

    assert scores(tokens(), pair)[1] == Scored(15.0)
    assert isinstance(scores(cost(), pair)[1], Unscored)


def test_aborted_runs_are_not_scored():
    """A user who hung up says nothing about the incumbent."""
    pair = make_pair(served={"failure": Failure(kind="aborted")}, labels=Labels(reference="r"))

    assert isinstance(scores(token_f1(), pair)[0], Unscored)


def test_a_metric_that_the_function_forgets_is_unscored():
    """A scorer that names a metric and gives no value for it is found out."""
    scorer = PairScorer(metrics=(Metric(name="x"),), version="1", score_one=lambda o, p: {})

    assert scores(scorer, make_pair())[1] == Unscored("the scorer gave no value")


class Unreadable(Exception):
    """Its message can't be had."""

    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [ValueError("half \ud83d"), Unreadable()])
def test_whatever_a_scorer_says_it_can_be_written(error):
    """A reason goes to the store and the report, so it is a text that has an encoding."""

    def scored(_observation, _pair):
        raise error

    scorer = PairScorer(metrics=(Metric(name="x"),), version="1", score_one=scored)
    assert scores(scorer, make_pair())[1].reason.encode()
    assert Unscored("half \ud83d").reason == "half ?"
