"""Parts of the traffic in which the candidate loses or wins and that nobody named, in words."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from shadoweval.records import Evaluation, LossCluster, Verdict
from shadoweval.records.changes import cluster_words
from shadoweval.reporting.table import table_of

__all__ = ["cluster_sentence", "clusters_view"]


def clusters_view(evaluation: Evaluation, verdict: Verdict) -> list[dict[str, Any]]:
    """`title` and `rows`: where the candidate loses, then where it wins; neither where nothing was named."""
    several = f"&candidate={quote(verdict.candidate, safe='')}" if len(evaluation.verdicts) > 1 else ""
    sides: dict[str, list[dict[str, Any]]] = {}
    for cluster in table_of(evaluation, verdict.candidate).clusters:
        title = "Where it loses" if cluster.difference < 0 else "Where it wins"
        sides.setdefault(title, []).append(
            {
                "features": list(cluster.shown.items()),
                "metric": cluster.metric,
                "share": _share(cluster),
                "words": _words(evaluation, verdict, cluster),
                "units": f"{cluster.units:,}",
                "examples": [(each, f"#q={quote(each, safe='')}{several}") for each in cluster.examples],
            }
        )
    return [{"title": title, "rows": rows} for title, rows in sides.items()]


def cluster_sentence(evaluation: Evaluation, verdict: Verdict, cluster: LossCluster) -> str:
    """`loses where tool: search: recall@5 0.31 lower (0.22 to 0.40), in 9 % of the queries; tested on 98 units`."""
    way = "loses" if cluster.difference < 0 else "wins"
    words = _words(evaluation, verdict, cluster)
    return (
        f"{way} where {cluster.text}: {cluster.metric} {words}, in {_share(cluster)} of the queries; tested on "
        f"{cluster.units:,} units"
    )


def _words(evaluation: Evaluation, verdict: Verdict, cluster: LossCluster) -> str:
    summaries = evaluation.summaries.get(verdict.candidate, ())
    return cluster_words(cluster, next((each for each in summaries if each.metric == cluster.metric), None))


def _share(cluster: LossCluster) -> str:
    """`9 %`."""
    return f"{100 * cluster.share:.2g} %"
