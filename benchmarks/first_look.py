"""What the first look over stored pairs costs, beside a plain loop over the same records, and an earlier version.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.first_look [pairs] [--against CHECKOUT]

Each pair has 5 hits of 30 words, answers of 40 words and 2 tool calls in each arm, every fourth a re-run of the
incumbent, and labels; it is scored by recall, nDCG, token F1, tool success and latency. CPU seconds of processes of
their own, one after the other: the loop, the look, the loop, the look. The loop reads the rows with `sqlite3`, decodes
each record and calls the scorers' own functions of one observation; it keeps sums, and nothing in the store.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from shadoweval import Experiment, at_most, better, no_worse
from shadoweval.codec import decode_envelope, encode_envelope, freeze
from shadoweval.records import Envelope, Hit, Labels, Observation, Outcome, Query, Step, ToolCall, Usage
from shadoweval.settings import Settings
from shadoweval.store import SqlStore, tables
from shadoweval.store.blobs import dump, dump_observation, load
from shadoweval.store.engine import transaction
from shadoweval.testing import NOON, FixedClock

try:
    from shadoweval.evaluation.evaluate import evaluate
except ImportError:  # as it lay in earlier versions
    from shadoweval.running.evaluate import evaluate  # pyright: ignore[reportMissingImports]

WORDS = (
    "alpha",
    "retrieval",
    "index",
    "vector",
    "answer",
    "shadow",
    "the",
    "of",
    "query",
    "document",
    "model",
    "score",
)
TIMES = 2.0
"""Bar: the look's CPU beside the loop's."""
QUICKER = 4.0
"""Bar: an earlier version's look beside this one's."""
AT_ONCE = 2_000


def words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(WORDS, k=count))


def run_of(chance: random.Random, query: Query, *, arm: str, place: Any) -> Observation:
    first = chance.randrange(5_000)
    hits = tuple(
        Hit(
            id=f"doc-{(first + i * chance.randrange(1, 4)) % 5_000}",
            rank=i + 1,
            score=1 / (i + 1),
            text=words(chance, 30),
        )
        for i in range(5)
    )
    calls = tuple(
        ToolCall(
            name=f"tool{i}",
            arguments={"q": words(chance, 4), "limit": 5},
            result={"rows": [1, 2, 3], "text": words(chance, 8)},
            error="timed out" if chance.random() < 0.05 else None,
            effect="read",
            answered="live" if place == "served" else "replayed",
        )
        for i in range(2)
    )
    kinds: tuple[Any, ...] = ("retrieval", "tool", "tool", "model")
    answer = words(chance, 40)
    return Observation(
        query_id=query.id,
        arm=arm,
        place=place,
        outcome=Outcome(answer=answer, hits=hits, tool_calls=calls, value={"answer": answer}),
        steps=tuple(Step(kind=kind, name=kind, index=i) for i, kind in enumerate(kinds)),
        started_at=query.asked_at,
        duration=chance.random(),
        usage=Usage(input_tokens=800, output_tokens=90, cost_usd=0.001),
        versions={"code": "1"},
    )


def made(number: int) -> tuple[Envelope, list[Observation], Labels]:
    chance = random.Random(number)
    text = f"question number {number} {words(chance, 8)}"
    query = Query(
        id=f"q-{number:09d}",
        text=text,
        inputs=freeze(((text,), {})),
        entry="app:answer",
        attributes={
            "plan": chance.choice(["free", "pro", "team"]),
            "language": chance.choice(["en", "de", "fr", "es", "ja"]),
            "topic": f"t{chance.randrange(12)}",
        },
        asked_at=NOON + timedelta(seconds=number),
    )
    served = run_of(chance, query, arm="incumbent", place="served")
    again = [run_of(chance, query, arm="incumbent", place="shadow")] if number % 4 == 0 else []
    labels = Labels(relevant={hit.id: 1 for hit in served.outcome.hits[:3]}, reference=words(chance, 30))  # type: ignore[union-attr]
    return (
        Envelope(experiment="bench", query=query, served=served),
        [run_of(chance, query, arm="new", place="shadow"), *again],
        labels,
    )


def fill(folder: str, pairs: int) -> None:
    """In bulk, whatever version this is: rows with the columns that its tables have."""
    with SqlStore(f"sqlite:///{folder}/bench.db") as store:
        for start in range(1, pairs + 1, AT_ONCE):
            rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
            for number in range(start, min(start + AT_ONCE, pairs + 1)):
                envelope, runs, labels = made(number)
                query = envelope.query
                known = {"query_id": query.id, "failed": "", "duration": 0.5, "live_writes": 0, "damaged": False}
                own = {
                    name: getattr(query, name, "")
                    for name in ("asked_at", "entry", "key", "text_key", "cluster", "unit")
                }
                rows[tables.Envelope].append(known | own | {"experiment": "bench", "frame": encode_envelope(envelope)})
                for run in runs:
                    rows[tables.Observation].append(
                        known | {"arm": run.arm, "place": run.place, "record": dump_observation(run)}
                    )
                rows[tables.Label].append({"name": query.id, "at": NOON, "record": dump(labels)})
            with transaction(store._engine, write=True) as connection:  # noqa: SLF001 - in bulk, as no worker writes
                for table, filled in rows.items():
                    names = set(table.__table__.columns.keys())
                    connection.execute(
                        table.__table__.insert(), [{k: v for k, v in row.items() if k in names} for row in filled]
                    )


def experiment_in(folder: str) -> Experiment:
    from shadoweval.scoring.answers import token_f1
    from shadoweval.scoring.retrieval import ndcg, recall
    from shadoweval.scoring.tools import tool_success

    try:
        from shadoweval.scoring.operations import latency
    except ImportError:
        from shadoweval.scoring.latency import latency  # pyright: ignore[reportMissingImports]
    gates = [
        better("recall@5", by=0.02),
        no_worse("ndcg@10", by=0.02),
        no_worse("token_f1", by=0.02),
        no_worse("tool_success", by=0.02),
        at_most("latency.p95", 5.0),
    ]
    scorers = [recall(k=5), ndcg(k=10), token_f1(), tool_success(), latency()]
    settings = Settings(home=folder)
    return Experiment(name="bench", candidates={"new": "app:new"}, scorers=scorers, gates=gates, settings=settings)


def look(folder: str) -> dict[str, Any]:
    """The first look: whatever an earlier one has left and scored is taken away before."""
    clock, experiment = FixedClock(), experiment_in(folder)
    clock.tick(timedelta(days=90).total_seconds())
    with SqlStore(f"sqlite:///{folder}/bench.db") as store:
        with transaction(store._engine, write=True) as connection:  # noqa: SLF001 - as nobody else does
            for table in (
                connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
            ):
                if table in {
                    "shadow_progress",
                    "shadow_segment",
                    "shadow_score",
                    "shadow_scores",
                    "shadow_evaluation",
                }:
                    connection.exec_driver_sql(f"DELETE FROM {table}")
        before, began = memory(), time.process_time()
        evaluation = evaluate(experiment, store=store, clock=clock)
        first = time.process_time() - began
        began = time.process_time()
        evaluate(experiment, store=store, clock=clock)
        return {
            "seconds": first,
            "again": time.process_time() - began,
            "memory": memory() - before,
            "verdict": str(evaluation.verdicts[0]),
        }


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def loop(folder: str) -> dict[str, Any]:
    """Decode each record, score both arms and the re-run, add up."""
    from shadoweval.scoring.rank_metrics import Unjudged, ndcg_of, read_judgements, recall_of
    from shadoweval.scoring.text_metrics import token_f1_of

    decoded = msgspec.msgpack.Decoder(Observation).decode
    began, sums = time.process_time(), defaultdict[tuple[str, str], list[float]](lambda: [0.0, 0])
    joined = """
        SELECT e.query_id, e.frame, c.record, r.record, l.record FROM shadow_envelope e
        JOIN shadow_observation c ON c.query_id = e.query_id AND c.arm = 'new' AND c.place = 'shadow'
        LEFT JOIN shadow_observation r ON r.query_id = e.query_id AND r.arm = 'incumbent' AND r.place = 'shadow'
        LEFT JOIN shadow_label l ON l.name = e.query_id
        WHERE e.experiment = 'bench' ORDER BY e.asked_at, e.query_id
    """
    with sqlite3.connect(f"{folder}/bench.db") as connection:
        for query_id, frame, candidate, rerun, label in connection.execute(joined):
            envelope, labels = decode_envelope(frame), load(label, Labels)
            judgements = read_judgements(labels.relevant)
            runs = {"incumbent": envelope.served, "candidate": decoded(candidate)}
            if rerun is not None:
                runs["noise"] = decoded(rerun)
            for arm, run in runs.items():
                assert run.query_id == query_id
                assert run.outcome is not None
                assert not isinstance(judgements, Unjudged)
                ranking = [hit.id for hit in sorted(run.hits, key=lambda hit: hit.rank)]
                calls = run.tool_calls
                for metric, value in (
                    ("recall@5", recall_of(ranking, judgements, k=5)),
                    ("ndcg@10", ndcg_of(ranking, judgements, k=10)),
                    ("token_f1", token_f1_of(run.outcome.answer or "", labels.reference or "")),
                    ("tool_success", sum(call.error is None for call in calls) / len(calls)),
                    ("latency", run.duration),
                ):
                    total = sums[arm, metric]
                    total[0] += value
                    total[1] += 1
    means = {f"{metric} of {arm}": total / count for (arm, metric), (total, count) in sums.items()}
    return {"seconds": time.process_time() - began, "means": means, "memory": memory()}


def child(part: str, folder: str, *, pairs: int, checkout: str) -> dict[str, Any]:
    """One part in a process of its own, with the code of a checkout."""
    environment = {**os.environ, "PYTHONPATH": checkout, "OPENBLAS_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
    command = [sys.executable, __file__, str(pairs), "--part", part, "--folder", folder]
    ended = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


def compare(pairs: int, against: str | None) -> bool:
    here, parts = str(Path(__file__).parents[1]), defaultdict[str, list[dict[str, Any]]](list)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as earlier:
        child("fill", folder, pairs=pairs, checkout=here)
        if against:
            child("fill", earlier, pairs=pairs, checkout=against)
        for _ in range(2):
            parts["loop"].append(child("loop", folder, pairs=pairs, checkout=here))
            parts["look"].append(child("look", folder, pairs=pairs, checkout=here))
            if against:
                parts["earlier"].append(child("look", earlier, pairs=pairs, checkout=against))
    seconds = {part: min(each["seconds"] for each in runs) for part, runs in parts.items()}
    for part, spent in seconds.items():
        grown = parts[part][0]["memory"]
        print(f"{part:8} {spent:7.2f} s CPU, {1e6 * spent / pairs:6.1f} us a pair, {grown:5.0f} MB")
    print(f"known pairs looked at again: {min(each['again'] for each in parts['look']):.2f} s")
    times = seconds["look"] / seconds["loop"]
    met = times <= TIMES
    print(f"the look beside the loop: {times:.2f} x, bar {TIMES:g}: {'ok' if met else 'MISSED'}")
    if against:
        quicker = seconds["earlier"] / seconds["look"]
        met &= quicker >= QUICKER
        print(
            f"the earlier look beside it: {quicker:.2f} x, bar {QUICKER:g}: {'ok' if quicker >= QUICKER else 'MISSED'}"
        )
    return met


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", nargs="?", type=int, default=100_000)
    parser.add_argument("--against")
    parser.add_argument("--part")
    parser.add_argument("--folder", default="")
    asked = parser.parse_args()
    if asked.part == "fill":
        fill(asked.folder, asked.pairs)
        print("{}")
    elif asked.part:
        print(json.dumps({"loop": loop, "look": look}[asked.part](asked.folder)))
    else:
        sys.exit(not compare(asked.pairs, asked.against))


if __name__ == "__main__":
    main()
