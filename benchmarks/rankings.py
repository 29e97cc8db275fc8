"""Five retrieval metrics over a million rankings of string ids, beside numpy alone, pytrec_eval, ir_measures, ranx.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.rankings [rankings]

Recall, precision, nDCG, reciprocal rank and average precision at 10, a value for each ranking and metric. A ranking has
10 ids, its query 3 to 8 judged documents of grades 0 to 3, about half of which are retrieved. Everyone gets the form
that it takes, ready-made: sequences of ids best first, or dicts of scores. CPU seconds of this process, block after
block of rankings, each in turn; ir_measures and ranx take long and are asked for the first blocks only. Those that are
not installed are skipped. The bare path is what one would write with numpy for rankings of one length without
repetitions: a dict look-up for each hit, then arithmetic on a matrix.
"""

from __future__ import annotations

import gc
import importlib.util
import random
import sys
import time
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shadoweval.scoring.rank_columns import read_columns

BLOCK: Final = 20_000
AT_ONCE: Final = 2_000
"""Rankings that an evaluation scores together."""
LONG: Final = frozenset({"ir_measures", "ranx"})
SHARE: Final = 2
"""Blocks for those that take a minute for a million."""
K: Final = 10
BARS: Final = {
    "pytrec_eval": (0.5, "at most"),
    "numpy": (1.3, "at most"),
    "ir_measures": (20, "quicker"),
    "ranx": (20, "quicker"),
}

Matrix = NDArray[np.float64]
Values = Callable[[], Matrix]
"""What was computed, put beside what the others did: (metrics, rankings). Not counted."""


class Block(NamedTuple):
    """The same rankings in each form."""

    grades: list[dict[str, int]]
    rankings: list[list[str]]
    qrels: dict[str, dict[str, int]]
    run: dict[str, dict[str, float]]


def made(block: int, count: int) -> Block:
    chance = random.Random(block)
    grades: list[dict[str, int]] = []
    rankings: list[list[str]] = []
    for _ in range(count):
        near = [f"doc-{number}" for number in chance.sample(range(1_000_000), 2 * K)]
        graded = {document: chance.randrange(4) for document in near[: chance.choice((3, 5, 8))]}
        graded[near[0]] = 1 + chance.randrange(3)  # a query with nothing relevant has no value
        grades.append(graded)
        # As a search gives them: equal to the labels' ids, and other objects.
        rankings.append([document[:4] + document[4:] for document in chance.sample(near, K)])
    qrels = {f"q{place}": graded for place, graded in enumerate(grades)}
    run = {
        f"q{place}": {document: float(K - rank) for rank, document in enumerate(ranking)}
        for place, ranking in enumerate(rankings)
    }
    return Block(grades, rankings, qrels, run)


def ours(block: Block) -> Values:
    values = []
    for start in range(0, len(block.grades), AT_ONCE):
        ranked = read_columns(block.grades[start : start + AT_ONCE]).rank(block.rankings[start : start + AT_ONCE])
        values.append(
            np.stack(
                [
                    ranked.recall(k=K),
                    ranked.precision(k=K),
                    ranked.ndcg(k=K),
                    ranked.reciprocal_rank(k=K),
                    ranked.average_precision(k=K),
                ]
            )
        )
    return lambda: np.concatenate(values, axis=1)


def bare(block: Block) -> Values:
    values = []
    ranks = np.arange(1, K + 1)
    for start in range(0, len(block.grades), AT_ONCE):
        grades, rankings = block.grades[start : start + AT_ONCE], block.rankings[start : start + AT_ONCE]
        flat = [
            graded.get(document, 0) for graded, ranking in zip(grades, rankings, strict=True) for document in ranking
        ]
        gains = np.array(flat, np.float64).reshape(-1, K)
        best = np.zeros((len(grades), max(map(len, grades))))
        lengths = np.array([len(graded) for graded in grades])
        best[np.arange(best.shape[1]) < lengths[:, np.newaxis]] = list(chain.from_iterable(g.values() for g in grades))
        relevant, count = gains > 0, (best > 0).sum(axis=1)
        best = -np.sort(-best, axis=1)
        inside = relevant.sum(axis=1)
        precisions = np.cumsum(relevant, axis=1) / ranks
        ideal = (best / np.log2(np.arange(2, best.shape[1] + 2))).sum(axis=1)
        values.append(
            np.stack(
                [
                    inside / count,
                    inside / K,
                    (gains / np.log2(ranks + 1)).sum(axis=1) / ideal,
                    (relevant / ranks).max(axis=1),
                    (precisions * relevant).sum(axis=1) / count,
                ]
            )
        )
    return lambda: np.concatenate(values, axis=1)


def pytrec_eval(block: Block) -> Values:
    import pytrec_eval as peer  # pyright: ignore[reportMissingTypeStubs]

    measures = ("recall_10", "P_10", "ndcg_cut_10", "recip_rank", "map_cut_10")
    asked = {"recall.10", "P.10", "ndcg_cut.10", "recip_rank", "map_cut.10"}
    scored: Mapping[str, Mapping[str, float]] = peer.RelevanceEvaluator(block.qrels, asked).evaluate(block.run)
    return lambda: np.array([[scored[query][measure] for query in block.qrels] for measure in measures])


def ir_measures(block: Block) -> Values:
    import ir_measures as peer

    measures: list[Any] = [peer.R @ K, peer.P @ K, peer.nDCG @ K, peer.RR @ K, peer.AP @ K]
    scored = list(peer.iter_calc(measures, block.qrels, block.run))

    def values() -> Matrix:
        by_query = {(str(value.measure), value.query_id): value.value for value in scored}
        return np.array([[by_query[str(measure), query] for query in block.qrels] for measure in measures])

    return values


def ranx(block: Block) -> Values:
    import ranx as peer  # pyright: ignore[reportMissingImports]

    measures = [f"{name}@{K}" for name in ("recall", "precision", "ndcg", "mrr", "map")]
    scored: Mapping[str, Matrix] = peer.evaluate(
        peer.Qrels(block.qrels), peer.Run(block.run), measures, return_mean=False
    )
    # Its values stand in the order of the queries' names.
    places = {query: place for place, query in enumerate(sorted(block.qrels))}
    return lambda: np.array([[scored[measure][places[query]] for query in block.qrels] for measure in measures])


def seconds(work: Callable[[Block], Values], block: Block) -> tuple[float, Matrix]:
    gc.collect()
    began = time.process_time()
    values = work(block)
    spent = time.process_time() - began
    return spent, values()


def installed() -> dict[str, Callable[[Block], Values]]:
    peers = {"pytrec_eval": pytrec_eval, "ir_measures": ir_measures, "ranx": ranx}
    there = {name: peer for name, peer in peers.items() if importlib.util.find_spec(name)}
    for name in peers.keys() - there.keys():
        print(f"skipped: {name} is not installed")
    return {"numpy": bare, **there}


def main() -> int:
    """Print microseconds a ranking, ratios and bars."""
    rankings = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    peers = installed()
    warm = made(-1, 100)
    for work in (ours, *peers.values()):
        work(warm)  # imports; ranx compiles for half a minute
    took: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
    apart = dict.fromkeys(peers, 0.0)
    for number in range(max(1, rankings // BLOCK)):
        block = made(number, min(BLOCK, rankings))
        turn = {"ours": ours, **peers}
        asked = [name for name in turn if number < SHARE or name not in LONG]
        values: dict[str, Matrix] = {}
        # Whoever comes first meets a block that nobody has read yet.
        for name in (*asked[number % len(asked) :], *asked[: number % len(asked)]):
            spent, values[name] = seconds(turn[name], block)
            took[name].append(spent)
        for name in values.keys() & peers.keys():
            apart[name] = max(apart[name], float(np.abs(values["ours"] - values[name]).max()))
    met = [said(name, took, apart[name]) for name in peers]
    each = sum(took["ours"]) / len(took["ours"]) / min(BLOCK, rankings)
    print(f"ours: {each * 1e6:.2f} us a ranking, {rankings:,} of them")
    return 0 if all(met) else 1


def said(name: str, took: Mapping[str, list[float]], apart: float) -> bool:
    """Print how one peer compares over the blocks that it was asked for."""
    theirs = took[name]
    ratio = sum(took["ours"][: len(theirs)]) / sum(theirs)
    bar, kind = BARS[name]
    met = ratio <= bar if kind == "at most" else 1 / ratio >= bar
    times = (
        f"{ratio:.2f} x its CPU (at most {bar})" if kind == "at most" else f"{1 / ratio:.0f} x as fast (at least {bar})"
    )
    print(f"{name}: {times}, {apart:.0e} apart at most: {'ok' if met else 'MISSED'}")
    return met


if __name__ == "__main__":
    sys.exit(main())
