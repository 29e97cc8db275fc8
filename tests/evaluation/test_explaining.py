"""One query in words."""

import pytest

from shadoweval import Experiment, evaluate, no_worse
from shadoweval.errors import ShadowEvalError
from shadoweval.evaluation.explaining import explain_query
from shadoweval.records import Envelope, Labels, ToolCall
from shadoweval.reporting.html import report
from shadoweval.scoring import exact_match, tool_success
from shadoweval.store import SqlStore
from shadoweval.testing import make_observation, make_query
from shadoweval.verdict.explain import explain

LOOK = ToolCall(name="look", arguments={"id": 1}, result="packed", effect="read")
DOWN = ToolCall(name="look", arguments={"id": 1}, result={"error": "down"}, effect="read")
OTHER = ToolCall(name="find", arguments={"id": 1}, result="packed", effect="read")


@pytest.fixture
def experiment():
    return Experiment(
        name="parts", candidates={"new": "app:answer"}, scorers=[exact_match(), tool_success()],
        gates=[no_worse("exact_match", by=0.1)],
    )  # fmt: skip


@pytest.fixture
def store(tmp_path, experiment):
    """Three queries: the arms do the same, the candidate's tool fails, the candidate takes another tool."""
    with SqlStore(f"sqlite:///{tmp_path}/s.db") as store:
        for number, calls in enumerate(([LOOK], [DOWN, LOOK], [OTHER]), start=1):
            query = make_query(number)
            served = make_observation(query, answer="yes", calls=[LOOK])
            answered = "yes" if number < 3 else "no"
            shadow = make_observation(query, "new", answer=answered, calls=calls)
            store.add_envelopes([Envelope(experiment="parts", query=query, served=served)], arms={query.id: ["new"]})
            store.add_observation(shadow)
            store.add_labels({query.text_key: Labels(reference="yes")})
        yield store


def test_a_query_says_where_the_arms_part_and_what_followed(store, experiment):
    """With the scores of both; a query that is not there is an error with the mend."""
    same, failing, other = (
        explain_query(experiment, store, candidate="new", query_id=f"q-{number}") for number in (1, 2, 3)
    )

    assert "The arms took the same steps to the same answer." in same
    assert "First difference: call 1: look fails (error), which succeeded for the incumbent (a call fails)" in failing
    assert "Candidate: look failed in call 1 (error); called it 1 more time, which succeeded" in failing
    assert "tool_success: 1 -> 0.5" in failing
    assert "calls find, not look (another tool)" in other
    with pytest.raises(ShadowEvalError, match="no pair of query 'q-9'"):
        explain_query(experiment, store, candidate="new", query_id="q-9")


def test_report_and_explanation_share_the_difference_out(store, experiment, tmp_path):
    """Over all pairs by kind of step, and for each query that is shown."""
    evaluation = evaluate(experiment, store=store)
    shares = {share.kind: (share.pairs, share.difference) for share in evaluation.divergences["new"]}
    page = report(evaluation, tmp_path / "r.html").read_text(encoding="utf-8")
    (verdict,) = evaluation.verdicts

    assert shares == {"no difference": (1, 0.0), "a call fails": (1, 0.0), "another tool": (1, pytest.approx(-1 / 3))}
    assert "another tool: 1 (-0.3333)" in explain(verdict, evaluation.divergences["new"])
    for words in ("Where the arms part", "another tool", "First difference: call 1: calls find, not look"):
        assert words in page
