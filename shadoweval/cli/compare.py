"""The command `compare`: a verdict and a report on scores that lie in a CSV file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from shadoweval._optional import require
from shadoweval.cli.output import say
from shadoweval.cli.score_table import ScoreTable, read_table
from shadoweval.cli.verdicts import exit_code
from shadoweval.errors import ArgumentError, ExperimentError
from shadoweval.protocols import Metric
from shadoweval.verdict.gates import Gate, at_least, at_most, better, no_worse

__all__ = ["compare"]

_KINDS: Final = {"better": better, "no_worse": no_worse, "at_least": at_least}


def compare(options: argparse.Namespace) -> int:
    """Read, judge, report."""
    for module in ("numpy", "scipy"):
        require(module, extra="store", needed_for="A verdict")
    from shadoweval.evaluation.scored_pairs import evaluate_pairs  # noqa: PLC0415 - after what it needs was looked for

    named = dict(_named_columns(option) for option in options.scores)
    table = read_table(options.file, named=named, unit=options.unit, slices=options.slice)
    gates = _gates(options)
    if not gates:
        raise ExperimentError(_without_gates(table))
    evaluation = evaluate_pairs(
        table.scores,
        gates,
        metrics=list(_metrics(options)),
        units=table.units,
        queries=table.queries,
        asked_at=table.times,
        slices=table.slices,
        name=options.name or _name_of(options.file),
    )
    options.answer.add(file=options.file, read=table.sentence)
    options.answer.add_evaluation(evaluation)
    say(table.sentence)
    say(evaluation.verdicts[0])
    for note in evaluation.notes:
        say(f"  note   {note}")
    if options.report:
        from shadoweval.reporting.html import report  # noqa: PLC0415 - jinja2 only for who wants a page

        written = report(evaluation, options.report, command=f"shadoweval compare {options.file}")
        options.answer.add(written={"report": str(written)})
        say(f"report: {written}")
    return exit_code(evaluation)


def _name_of(file: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(file).stem).strip(".-_") or "scores"


def _split(option: str, text: str) -> tuple[str, str]:
    """`METRIC=VALUE` as both."""
    metric, sign, value = text.rpartition("=")
    if not sign or not metric or not value:
        raise ArgumentError(option, text, expected="METRIC=VALUE", mend=f"Write for instance {option} score=0.02.")
    return metric, value


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentError(option, text, expected="a number behind the =") from None


def _named_columns(text: str) -> tuple[str, tuple[str, str]]:
    metric, columns = _split("--scores", text)
    incumbent, comma, candidate = columns.partition(",")
    if not comma:
        mend = "Write --scores quality=old_quality,new_quality."
        raise ArgumentError("--scores", text, expected="METRIC=COLUMN,COLUMN", mend=mend)
    return metric, (incumbent.strip(), candidate.strip())


def _gates(options: argparse.Namespace) -> list[Gate]:
    gates: list[Gate] = []
    for kind, make in _KINDS.items():
        option = f"--{kind.replace('_', '-')}"
        for metric, value in (_split(option, text) for text in getattr(options, kind)):
            gates.append(make(metric, _number(option, value)))
    for metric, value in (_split("--at-most", text) for text in options.at_most):
        number = _number("--at-most", value.removesuffix("x"))
        gates.append(at_most(metric, ratio=number) if value.endswith("x") else at_most(metric, number))
    return gates


def _without_gates(table: ScoreTable) -> str:
    metric = next(iter(table.scores))
    return (
        f"There is no gate, so nothing can be decided; margins have no default. The file has scores of "
        f"{', '.join(map(repr, table.scores))}. Write for instance --no-worse {metric}=0.02: how much worse is still "
        "good enough."
    )


def _metrics(options: argparse.Namespace) -> Iterator[Metric]:
    ranges = dict(_split("--range", text) for text in options.range)
    less: Sequence[str] = options.lower_is_better
    for name in {**ranges, **dict.fromkeys(less)}:
        low, colon, high = ranges.get(name, "0:1").partition(":")
        if not colon:
            raise ArgumentError("--range", low, expected="LOW:HIGH", mend=f"Write --range {name}=1:5, or {name}=0: .")
        yield Metric(
            name=name,
            higher_is_better=name not in less,
            low=_number("--range", low) if low else None,
            high=_number("--range", high) if high else None,
            failure_scores=None,
        )
