"""Looks at what each stage of both arms saw of a share of the pairs, and says what changed in mid-run or differs.

All checks together cry wolf in at most 5 of 100 windows of 20,000 pairs: habits (`evidence.habits`) have 4, the
comparison of the arms has 1. An arm whose declared version changes is learnt anew, since that is another trial.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from msgspec import structs

from shadoweval.capture.prompts import SYSTEM_PROMPTS
from shadoweval.evaluation.stage_fields import Seen
from shadoweval.evaluation.stage_habits import CONTENT, StageHabits, gone
from shadoweval.evaluation.stage_skew import StageSkew
from shadoweval.evidence.habits import Habit, Where
from shadoweval.records import INCUMBENT, Observation, Pair, StageChange, StagesSeen
from shadoweval.verdict.rules import Rules

__all__ = ["StageChecks", "broken_fields", "stage_notices"]

_FIRST: Final = 200
"""Pairs that are all looked at."""
_ONE_IN: Final = 32
"""Of the later ones so many are passed over at most, by the hash of their ids; while something looks like a change
none is."""
_WITHOUT_LANGUAGES: Final = 100
"""Pairs at first whose languages are not told: what tells them takes 75 MB and half a second, too much for a few."""
_AGAIN: Final = 20
"""Pairs after which the same user, session or query counts again: what one of them keeps doing is no change."""
_SHOWN: Final = 3
_ABOUT: Final = ("inputs", INCUMBENT, "candidate")
_MOST: Final = {"inputs": 40, INCUMBENT: 80, "candidate": 80}


class StageChecks:
    """What the stages usually see, over a stream of pairs in query order."""

    def __init__(self) -> None:
        self._habits = {about: StageHabits(most=_MOST[about]) for about in _ABOUT}
        self._skew = StageSkew()
        self._arm = "candidate"
        self._seen = self._looked = self._passed = 0
        self._rising = False
        """Whether something looks like a change and is none yet."""
        self._recent: dict[str, int] = {}
        """Users, sessions or queries that counted within the last pairs, and when."""

    def see(self, pair: Pair, *, key: str = "") -> None:
        """Count one pair, if it is looked at; `key` is its query's, where that is at hand."""
        self._seen += 1
        if not self._due(pair):
            self._passed += 1
            return
        cluster = pair.query.unit or key or pair.query.key
        if self._seen - self._recent.get(cluster, -_AGAIN) < _AGAIN:
            return
        self._recent = {each: n for each, n in self._recent.items() if self._seen - n < _AGAIN}
        self._recent[cluster] = self._seen
        self._passed = 0
        self._looked += 1
        self._arm = pair.candidate.arm
        self._look(pair)

    def _due(self, pair: Pair) -> bool:
        if self._seen <= _FIRST or self._rising or self._passed >= _ONE_IN - 1:
            return True
        return zlib.crc32(pair.id.encode("utf-8", "replace")) % _ONE_IN == 0

    def _look(self, pair: Pair) -> None:
        where = Where(pair.id, pair.query.asked_at.timestamp())
        inputs = self._habits["inputs"]
        inputs.see(Seen.of_query(pair.query), where)
        inputs.see_text("inputs", pair.query.text, where, language=self._looked > _WITHOUT_LANGUAGES)
        runs = {INCUMBENT: pair.served, "candidate": pair.candidate}
        seen = {about: self._look_at_run(about, run, where) for about, run in runs.items()}
        served, candidate = seen[INCUMBENT], seen["candidate"]
        if served is not None and candidate is not None:
            self._skew.see(pair, served, candidate)
        self._rising = any(habits.rising for habits in self._habits.values())

    def _look_at_run(self, about: str, run: Observation, where: Where) -> Seen | None:
        seen = Seen.of_run(run)
        if seen is None or run.outcome is None:
            return None
        habits = self._of_version(about, run)
        habits.see(seen, where)
        habits.see_text("answer", run.outcome.answer, where, language=self._looked > _WITHOUT_LANGUAGES)
        habits.see_documents(run.outcome.hits, where)
        return seen

    def _of_version(self, about: str, run: Observation) -> StageHabits:
        versions = {name: version for name, version in run.versions.items() if name != SYSTEM_PROMPTS}
        habits = self._habits[about]
        if habits.versions not in (None, versions):
            habits = self._habits[about] = StageHabits(most=_MOST[about])
            self._skew = StageSkew()
        habits.versions = versions
        return habits

    def seen(self, *, ordered: bool) -> StagesSeen:
        """What was seen; `ordered`: whether pairs come in the traffic's order, and not in that of a file of cases."""
        alarms = self._alarms() if ordered else {}
        skews = [each for each in self._skew.changes(self._arm) if each.path.partition(" ")[0] not in alarms]
        return StagesSeen(
            pairs=self._looked,
            fields=sum(len(habits.habits) for habits in self._habits.values()),
            left_out=sum(habits.left_out for habits in self._habits.values()),
            changes=(*self._changes(alarms), *skews),
        )

    def _alarms(self) -> dict[str, dict[str, Habit]]:
        """By path and whose it is."""
        alarms: dict[str, dict[str, Habit]] = {}
        for about, habits in self._habits.items():
            for path, habit in habits.alarms():
                alarms.setdefault(path, {})[about] = habit
        return alarms

    def _changes(self, alarms: Mapping[str, Mapping[str, Habit]]) -> Iterator[StageChange]:
        changes = {path: self._change(path, by_arm) for path, by_arm in alarms.items()}
        renamed: set[str] = set()
        for path, change in changes.items():
            new = _new_name(path, change, changes) if "missing" in change.after else ""
            if path not in renamed and new not in renamed:
                renamed |= {new} - {""}
                changes[path] = structs.replace(change, after=f"{change.after} (now {new}?)") if new else change
        yield from (change for path, change in changes.items() if path not in renamed)

    def _change(self, path: str, by_arm: Mapping[str, Habit]) -> StageChange:
        habit = next(iter(by_arm.values()))
        kind: Literal["break", "addition", "drift"] = "drift"
        if not path.endswith(CONTENT):
            kind = "break" if any(map(gone, by_arm.values())) else "addition"
        arms = [self._arm if about == "candidate" else about for about in by_arm if about != "inputs"]
        n, of = habit.counted
        return StageChange(
            kind=kind,
            arms=tuple(arms),
            path=path,
            before=_kinds(habit.kinds),
            after=_kinds(habit.unusual),
            since=None if habit.since is None else datetime.fromtimestamp(habit.since.at, tz=UTC),
            first="" if habit.since is None else habit.since.id,
            n=n,
            of=of,
        )

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "habits": {about: habits.to_state() for about, habits in self._habits.items()},
            "skew": self._skew.to_state(),
            "arm": self._arm,
            "counts": [self._seen, self._looked, self._passed],
            "recent": self._recent,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        for about, habits in state["habits"].items():
            self._habits[about].restore(habits)
        self._skew.restore(state["skew"])
        self._arm = state["arm"]
        self._seen, self._looked, self._passed = state["counts"]
        self._recent = dict(state["recent"])
        self._rising = any(habits.rising for habits in self._habits.values())


def _new_name(path: str, gone_field: StageChange, changes: Mapping[str, StageChange]) -> str:
    """A field of the same object that came with the same query as the other went; empty: none."""
    beside = path.rpartition(".")[0]
    for other, change in changes.items():
        same = change.arms == gone_field.arms and change.first == gone_field.first
        if change.kind == "addition" and same and other.rpartition(".")[0] == beside:
            return other
    return ""


def _kinds(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts, key=lambda kind: -counts[kind])
    return " or ".join([*ranked[:_SHOWN], *(["others"] if len(ranked) > _SHOWN else [])])


def broken_fields(seen: StagesSeen, rules: Rules) -> str:
    """What holds the verdict, in words; empty: nothing."""
    return _listed(_breaks(seen)) if rules.checks == "hold" else ""


def stage_notices(seen: StagesSeen, rules: Rules) -> tuple[str, ...]:
    """What is worth a word and holds nothing."""
    holding = _breaks(seen) if rules.checks == "hold" else ()
    changes = [each for each in seen.of_kind("break", "addition", "drift") if each not in holding]
    skews, said = seen.of_kind("skew"), list[str]()
    if changes:
        said.append(
            f"What the stages see has changed in mid-run: {_listed(changes)}. See whether the verdict is still about "
            "what is asked now"
        )
    if skews:
        said.append(f"The arms see different things on the same queries: {_listed(skews)}. See that this is meant")
    return tuple(said)


def _breaks(seen: StagesSeen) -> tuple[StageChange, ...]:
    """Of the arms' stages; what the queries lack hits both arms alike."""
    return tuple(change for change in seen.of_kind("break") if change.arms)


def _listed(changes: Sequence[StageChange]) -> str:
    """The first few, and how many more there are."""
    words = "; ".join(change.words for change in changes[:_SHOWN])
    return words + (f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else "")
