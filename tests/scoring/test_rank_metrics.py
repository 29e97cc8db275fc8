import json
import math
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.scoring.rank_metrics import (
    Judgements,
    Unjudged,
    average_precision_of,
    bpref_of,
    context_precision_of,
    hit_rate_of,
    jaccard_of,
    judged_share,
    ndcg_of,
    precision_of,
    r_precision_of,
    read_judgements,
    recall_of,
    reciprocal_rank_of,
)

TREC_EVAL = Path(__file__).parents[3] / "shared/data/trec_eval"

documents = st.sampled_from([f"d{number}" for number in range(12)])
rankings = st.lists(documents, unique=True, max_size=12)
grades = st.dictionaries(documents, st.integers(0, 3), min_size=1)
cutoffs = st.integers(1, 15)


def judgements_of(grades, **options):
    judgements = read_judgements(grades, **options)
    assert isinstance(judgements, Judgements)
    return judgements


@settings(deadline=None)
@given(ranking=rankings, grades=grades, k=cutoffs, relevant_from=st.integers(1, 2))
def test_every_metric_equals_pytrec_evals(trec_eval, ranking, grades, k, relevant_from):
    """On any ranking and any grades the values are those of trec_eval's own C code, to 1e-9."""
    judgements = read_judgements(grades, relevant_from=relevant_from)
    if isinstance(judgements, Unjudged):
        assert max(grades.values()) < relevant_from
        return
    ours = {
        f"R(rel={relevant_from})@{k}": recall_of(ranking, judgements, k=k),
        f"P(rel={relevant_from})@{k}": precision_of(ranking, judgements, k=k),
        f"Success(rel={relevant_from})@{k}": hit_rate_of(ranking, judgements, k=k),
        f"RR(rel={relevant_from})": reciprocal_rank_of(ranking, judgements),
        f"AP(rel={relevant_from})": average_precision_of(ranking, judgements),
        f"AP(rel={relevant_from})@{k}": average_precision_of(ranking, judgements, k=k),
        f"nDCG@{k}": ndcg_of(ranking, judgements, k=k),
        "nDCG": ndcg_of(ranking, judgements),
        f"Bpref(rel={relevant_from})": bpref_of(ranking, judgements),
        f"Rprec(rel={relevant_from})": r_precision_of(ranking, judgements),
    }
    run = {document: float(-rank) for rank, document in enumerate(ranking)}
    # trec_eval has no value for a query without hits (pytrec_eval reads freed memory there): it is worth 0 to us.
    theirs = trec_eval(measures=list(ours), grades=grades, run=run) if ranking else [0.0] * len(ours)
    assert list(ours.values()) == pytest.approx(theirs, abs=1e-9), list(ours)


@settings(deadline=None)
@given(ranking=rankings, grades=grades, k=cutoffs)
def test_reciprocal_rank_at_k_is_the_whole_one_where_the_first_relevant_is_in_reach(ranking, grades, k):
    """Cutting at k loses what stands below k and changes nothing above."""
    judgements = read_judgements(grades)
    if isinstance(judgements, Judgements):
        whole = reciprocal_rank_of(ranking, judgements)
        assert reciprocal_rank_of(ranking, judgements, k=k) == (whole if whole * k >= 1 else 0.0)


def read_trec_eval(name):
    path = TREC_EVAL / name
    if not path.exists():
        pytest.skip(f"trec_eval's test data is not at {TREC_EVAL}")
    return [json.loads(line) for line in path.read_text().splitlines()]


def trec_eval_case(case, run_name):
    qrels = defaultdict(dict)
    for row in read_trec_eval("qrels.test.jsonl"):
        qrels[row["query_id"]][row["doc_id"]] = row["rel"]
    retrieved = defaultdict(list)
    for row in read_trec_eval(run_name):
        retrieved[row["query_id"]].append((row["score"], row["doc_id"]))
    # trec_eval ignores the ranks in the file: score descending, ties by id descending.
    run = {query: [doc for _, doc in sorted(hits, reverse=True)] for query, hits in retrieved.items()}
    printed = {
        (row["query_id"], row["measure"]): row["value"]
        for row in read_trec_eval("expected.jsonl")
        if row["case"] == case
    }
    return qrels, run, printed


PRINTED = {
    **{f"recall_{k}": lambda r, j, k=k: recall_of(r, j, k=k) for k in (5, 10, 20, 100, 500)},
    **{f"P_{k}": lambda r, j, k=k: precision_of(r, j, k=k) for k in (5, 10, 100, 1000)},
    **{f"success_{k}": lambda r, j, k=k: hit_rate_of(r, j, k=k) for k in (1, 5, 10)},
    **{f"ndcg_cut_{k}": lambda r, j, k=k: ndcg_of(r, j, k=k) for k in (5, 10, 100)},
    **{f"map_cut_{k}": lambda r, j, k=k: average_precision_of(r, j, k=k) for k in (5, 10, 100)},
    "map": average_precision_of,
    "ndcg": ndcg_of,
    "recip_rank": reciprocal_rank_of,
    "bpref": bpref_of,
    "Rprec": r_precision_of,
    **{f"unj_{k}": lambda r, j, k=k: (1 - judged_share(r, j, k=k)) * len(r[:k]) / k for k in (5, 10, 20)},
}


@pytest.mark.parametrize(
    ("case", "run_name", "keep"),
    [
        ("all_trec_q", "results.test.jsonl", 1000),
        ("complete", "results.trunc.jsonl", 1000),
        ("complete_M100", "results.trunc.jsonl", 100),
    ],
)
def test_values_are_the_ones_trec_eval_printed(case, run_name, keep):
    """Per query, trec_eval's published output is met to its four decimals: ties, truncated runs, `-M`."""
    qrels, run, printed = trec_eval_case(case, run_name)
    compared = 0
    for query, graded in qrels.items():
        judgements = judgements_of(graded)
        for measure, function in PRINTED.items():
            value = function(run.get(query, [])[:keep], judgements)
            assert value == pytest.approx(printed[query, measure], abs=5.1e-5), (query, measure)
            compared += 1
    assert compared == 3 * len(PRINTED)


def test_means_over_queries_are_the_ones_trec_eval_printed():
    """A judged query whose topic the run lacks scores 0 for each metric (`-c`), and so enters the mean."""
    qrels, run, printed = trec_eval_case("complete", "results.trunc.jsonl")
    for measure, function in PRINTED.items():
        if measure.startswith("unj"):
            continue
        values = [function(run.get(query, []), judgements_of(graded)) for query, graded in qrels.items()]
        mean = math.fsum(values) / len(values)
        assert mean == pytest.approx(printed["all", measure], abs=5.1e-5), measure


def test_a_query_without_judgements_has_a_reason_and_no_value():
    """No grades, and grades that are all below the threshold, are two different reasons."""
    assert read_judgements({}) is Unjudged.NO_JUDGEMENTS
    assert read_judgements({"d1": 0, "d2": -1}) is Unjudged.NOTHING_RELEVANT
    assert read_judgements({"d1": 1}, relevant_from=2) is Unjudged.NOTHING_RELEVANT


@settings(deadline=None)
@given(
    ranking=st.lists(documents, min_size=1, max_size=12),
    grades=grades,
    k=cutoffs,
)
def test_a_repeated_hit_is_worth_what_an_irrelevant_one_is(ranking, grades, k):
    """The second copy keeps its rank and earns nothing, so no metric rises by returning a document twice."""
    judgements = read_judgements(grades)
    if isinstance(judgements, Unjudged):
        return
    fresh = [doc if doc not in ranking[:rank] else f"unjudged{rank}" for rank, doc in enumerate(ranking)]
    for metric in (recall_of, precision_of, hit_rate_of, reciprocal_rank_of, average_precision_of, ndcg_of):
        assert metric(ranking, judgements, k=k) == metric(fresh, judgements, k=k), metric
    assert bpref_of(ranking, judgements) == bpref_of(fresh, judgements)


def test_ndcg_takes_grades_as_gains():
    """The worked example of Wikipedia's "Discounted cumulative gain": 6.861 of at best 8.740 is 0.785."""
    judgements = judgements_of({"D1": 3, "D2": 2, "D3": 3, "D4": 0, "D5": 1, "D6": 2, "D7": 3, "D8": 2})
    assert ndcg_of(["D1", "D2", "D3", "D4", "D5", "D6"], judgements, k=6) == pytest.approx(0.785, abs=5e-4)


def test_a_grade_below_zero_gains_nothing_and_costs_nothing():
    """A document graded -2 is as irrelevant as one graded 0; the value can't leave [0, 1]."""
    assert ndcg_of(["spam", "good"], judgements_of({"spam": -2, "good": 1})) == pytest.approx(1 / math.log2(3))
    assert ndcg_of(["spam", "good"], judgements_of({"spam": 0, "good": 1})) == pytest.approx(1 / math.log2(3))


@given(ranking=rankings, grades=grades, k=cutoffs)
def test_context_precision_is_ragas_formula(ranking, grades, k):
    """The sum over ranks of precision times relevance, over the number of relevant ones, as its pages have it."""
    judgements = read_judgements(grades)
    if isinstance(judgements, Unjudged):
        return
    useful = [float(document in judgements.relevant) for document in ranking[:k]]
    weighed = sum(sum(useful[:rank]) / rank * v for rank, v in enumerate(useful, 1))
    expected = weighed / sum(useful) if any(useful) else 0.0
    assert context_precision_of(ranking, judgements, k=k) == pytest.approx(expected, abs=1e-12)


def test_the_share_of_judged_documents_is_over_what_was_returned():
    """Two of the first two, or one of them, whatever k could hold; nothing returned leaves nothing unjudged."""
    judgements = judgements_of({"a": 1, "b": 0})
    assert judged_share(["new", "b", "a", "other"], judgements, k=2) == 0.5
    assert judged_share([], judgements, k=5) == 1.0


def test_jaccard_counts_shared_documents():
    """Two of three shared is 2/4 of the union; a shorter list can't look like a full match."""
    assert jaccard_of("abc", "bcd", k=3) == pytest.approx(2 / 4)
    assert jaccard_of("", "", k=3) == 1.0
    assert jaccard_of("", "a", k=3) == 0.0
