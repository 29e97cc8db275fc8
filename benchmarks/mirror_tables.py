"""Numbers of the mirror's benchmark: what a target adds, tables, and whether goals are met."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Goals", "Rounds", "added", "measure", "table"]

Rounds = Sequence[Mapping[str, Mapping[str, Any]]]
"""For each round what each target's block took."""
PEERS = ("OpenTelemetry", "LangSmith")


class Goals:
    """Goals, each printed when it is looked at."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    @property
    def met(self) -> bool:
        return all(goal["met"] for goal in self.all)

    def check(
        self,
        name: str,
        text: str,
        value: float,
        *,
        most: float | None = None,
        least: float | None = None,
        quiet: bool = False,
    ) -> None:
        """Whether a value is at most, or at least, what was aimed at; no number meets no goal. `quiet`: say misses."""
        met = value <= most if most is not None else value >= (least or 0.0)
        bar = f"at most {most:g}" if most is not None else f"at least {least:,g}"
        if not (quiet and met):
            print(f"  {'ok' if met else 'MISSED':<7}{name:<4} {text}: {value:,.4g}, {bar}")
        self.all.append({"goal": name, "what": text, "value": value, "most": most, "least": least, "met": met})


def measure(workers: Mapping[str, Any], *, rounds: int, **block: Any) -> list[dict[str, dict[str, Any]]]:
    """Blocks in turn, A B C A B C, after a shorter one of each that is not counted."""
    for worker in workers.values():
        worker.run(**{**block, "count": max(block["count"] // 2, 50)})
    return [{name: worker.run(**block) for name, worker in workers.items()} for _ in range(rounds)]


def added(rounds: Rounds, name: str, what: str) -> float:
    """Median over the rounds of a target's cost less the bare function's, in microseconds."""
    found = [one[name][what] - one["bare"][what] for one in rounds if what in one.get(name, {})]
    return statistics.median(found) * 1e6 if found else float("nan")


def _lost(rounds: Rounds, name: str) -> float:
    made = sum(one[name]["count"] for one in rounds)
    return sum(one[name]["lost"] for one in rounds) / made if made else 0.0


def table(title: str, rounds: Rounds, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Print what each target adds, and give the numbers."""
    numbers = {name: {what: added(rounds, name, what) for what in ("p50", "p99", "cpu")} for name in names}
    for name in names:
        numbers[name] |= {"lost": _lost(rounds, name), "threads": rounds[-1][name]["threads"]}
    bare = statistics.median(one["bare"]["p50"] for one in rounds) * 1e6
    print(f"\n{title} (bare p50 {bare:.1f} us)")
    peers = [peer for peer in PEERS if peer in names]
    heads = "".join(f"{f'/{peer}':>15}" for peer in peers)
    print(f"  {'':<22}{'+p50 us':>10}{'+p99 us':>11}{'+CPU us':>10}{'lost %':>8}{'threads':>9}{heads}")
    for name in names:
        if name == "bare":
            continue
        row = numbers[name]
        ratios = "".join(f"{row['p50'] / numbers[peer]['p50']:>15.4f}" for peer in peers)
        cells = f"{row['p50']:>10.2f}{row['p99']:>11.1f}{row['cpu']:>10.1f}{100 * row['lost']:>8.2f}{row['threads']:>9}"
        print(f"  {name:<22}{cells}{ratios}")
    return numbers
