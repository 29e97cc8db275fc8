"""Evaluations of as many pairs as a report lists, with texts such as people write."""

import random
from pathlib import Path

import msgspec
from sample import HOSTILE, evaluation, examples

from shadoweval.records import LossCluster, QueryRow, QueryTable, Scored, Unscored
from shadoweval.reporting.rows import row_of

WORDS = sorted({word for word in Path(__file__).parents[2].joinpath("docs/statistics.md").read_text("utf-8").split()
                if word.isalpha()})  # fmt: skip


def sentence(chance, words):
    """About English: few words are many of those that are said."""
    return " ".join(WORDS[int(len(WORDS) * chance.random() ** 2)] for _ in range(words))


def rows(count, *, seed=1):
    """Rows whose answers are about 160 characters and half alike."""
    chance = random.Random(seed)
    for number in range(count):
        answer = sentence(chance, 26)[:159] + "…"
        other = (answer[: chance.randrange(160)] + " " + sentence(chance, 26))[:159] + "…"
        better = chance.choice((-0.2, 0.0, 0.0, 0.2)) * chance.random()
        was = 0.3 + 0.4 * chance.random()
        yield QueryRow(
            id=f"{chance.getrandbits(128):032x}",
            text=HOSTILE[number % len(HOSTILE)] if number % 97 == 5 else sentence(chance, 9),
            answers=(answer, other if number % 3 else answer),
            failures=("", "timeout (candidate's)") if number % 50 == 3 else ("", ""),
            scores={
                "recall@5": (Scored(was), Scored(was + better)),
                "answer_quality": (Scored(chance.random()), Scored(chance.random())),
                "latency": (Scored(chance.random()), Scored(chance.random())),
                "tool_success": (Scored(1.0), Unscored("no reference answer") if number % 20 == 1 else Scored(1.0)),
            },
            attributes={"plan": chance.choice(("free", "pro")), "language": chance.choice(("en", "de", "fr"))},
            parts=chance.choice(("", "other documents", "answer")),
            critical=better < 0,
        )


def evaluation_of(count, *, candidates=("hybrid",), of=None):
    """An evaluation whose candidates have `count` listed pairs each, some of them whole, of `of` pairs."""
    one = evaluation(count=8)
    whole = tuple(examples(min(count, 240), seed=2))
    named = [row_of(each) for each in whole]
    listed = (*named, *rows(count - len(whole)))
    table = QueryTable(rows=listed, details=whole, pairs=of or count, critical=sum(row.critical for row in listed))
    verdicts = tuple(msgspec.structs.replace(one.verdicts[0], candidate=name) for name in candidates)
    return msgspec.structs.replace(one, verdicts=verdicts, queries=dict.fromkeys(candidates, table))


def cluster(*features, difference=-0.31, metric="recall@5", examples=()):
    """A part of the traffic whose bounds lie 0.09 on each side."""
    bounds = {"lower": difference - 0.09, "upper": difference + 0.09}
    size = {"units": 98, "share": 0.09, "examples": examples}
    return LossCluster(features=dict(features), metric=metric, difference=difference, elsewhere=0.0, **bounds, **size)


def clustered(*clusters, count=60, candidates=("hybrid",)):
    """An evaluation of which every tenth listed pair belongs to the first of these parts."""
    one = evaluation_of(count, candidates=candidates)
    table = one.queries[candidates[0]]
    listed = [msgspec.structs.replace(row, clusters=() if place % 10 else (0,)) for place, row in enumerate(table.rows)]
    table = msgspec.structs.replace(table, rows=tuple(listed), clusters=clusters)
    return msgspec.structs.replace(one, queries=dict.fromkeys(candidates, table))
