"""Parts that lose or win, in the words of a report."""

import sys
from pathlib import Path

import msgspec
import pytest

from shadoweval.records import MetricSummary
from shadoweval.records.changes import cluster_words
from shadoweval.reporting.clusters import cluster_sentence, clusters_view
from shadoweval.reporting.texts import carrying

sys.path.insert(0, str(Path(__file__).parent))
from many import cluster, clustered

WORDS = ("one of the words", ("refund", "parcel"))
PLAN = ("attribute plan", ("pro",))
TOOL = ("tool", ("look_up",))


def summary(**changes):
    return MetricSummary(
        **{
            "metric": "recall@5",
            "higher_is_better": True,
            "incumbent": 0.4,
            "candidate": 0.1,
            "difference": -0.3,
            "scored": 90,
            **changes,
        }
    )


def test_a_part_is_a_sentence():
    """What its queries have in common, by how much they differ, how many there are, and on how many that was tested."""
    evaluation = clustered(cluster(WORDS, PLAN))
    (verdict,) = evaluation.verdicts

    assert cluster_sentence(evaluation, verdict, evaluation.queries["hybrid"].clusters[0]) == (
        "loses where one of the words: refund, parcel; attribute plan: pro: recall@5 0.31 lower (0.22 to 0.40), in "
        "9 % of the queries; tested on 98 units"
    )


@pytest.mark.parametrize(
    ("difference", "changes", "words"),
    [
        (-0.31, {}, "0.31 lower (0.22 to 0.40)"),
        (0.31, {}, "0.31 higher (0.22 to 0.40)"),
        (-0.31, {"higher_is_better": False}, "0.31 higher (0.22 to 0.40)"),
        (0.31, {"higher_is_better": False, "unit": "share"}, "31.0 points lower (22.0 to 40.0)"),
        (-0.0905, {}, "0.0905 lower (0.0005 to 0.1805)"),
    ],
)
def test_a_difference_is_said_as_the_metric_is_read(difference, changes, words):
    """A worse share of errors is a higher one."""
    assert cluster_words(cluster(PLAN, difference=difference), summary(**changes)) == words


def test_losses_come_before_wins_and_examples_lead_to_the_candidates_queries():
    """Of several candidates an address names which one."""
    lost, won = cluster(WORDS, examples=("q&1",)), cluster(TOOL, difference=0.31)
    evaluation = clustered(lost, won, candidates=("hybrid", "new one"))
    losing, winning = clusters_view(evaluation, evaluation.verdicts[1])

    assert (losing["title"], winning["title"]) == ("Where it loses", "Where it wins")
    assert losing["rows"][0]["examples"] == [("q&1", "#q=q%261&candidate=new%20one")]
    assert clusters_view(clustered(), clustered().verdicts[0]) == []


@pytest.mark.parametrize(("texts", "shown"), [("none", "(not in this report)"), ("short", "refund, parcel")])
def test_words_are_as_private_as_the_queries_they_are_of(texts, shown):
    """Without texts neither words nor values stay; names of tools and attributes do, as elsewhere."""
    evaluation = carrying(clustered(cluster(WORDS), cluster(PLAN), cluster(TOOL)), texts)
    words, plan, tool = evaluation.queries["hybrid"].clusters

    assert words.text == f"one of the words: {shown}"
    assert plan.text == ("attribute plan: pro" if texts == "short" else "attribute plan: (not in this report)")
    assert tool.text == "tool: look_up"
    assert msgspec.structs.replace(words, features={}) == msgspec.structs.replace(tool, features={})
