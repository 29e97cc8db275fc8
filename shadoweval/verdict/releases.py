"""Which versions answered, and when: a new release of an arm is another trial, which begins with its first query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from shadoweval.capture.prompts import SYSTEM_PROMPTS
from shadoweval.records import Arm, Observation

__all__ = ["Release", "Versions", "met_by", "named"]

_MOST: Final = 100
"""Versions that are kept of one name; where each query has one of its own, the newest."""
_COMPUTED: Final = frozenset({"target", "code", "commit", "environment", SYSTEM_PROMPTS})
_STEP: Final = timedelta(microseconds=1)

Span = tuple[datetime, datetime]
Seen = dict[tuple[Arm, str], dict[str, Span]]


class Release(NamedTuple):
    """The last change of what answered."""

    since: datetime
    """From here on one version alone has answered."""
    why: str
    clean: bool
    """Whether no old version answered after a new one had."""


@dataclass(slots=True)
class Versions:
    """By arm and name of what decides the answer: each version, and when it was asked first and last."""

    seen: Seen = field(default_factory=Seen)
    """What one version alone can answer with."""
    met: Seen = field(default_factory=Seen)
    """What runs met, of which several may take turns: models, system prompts. A change is where all of the old ones end
    before any of the new ones begins."""

    def count(
        self, versions: Mapping[Arm, Mapping[str, str]], met: Mapping[Arm, Mapping[str, str]], asked_at: datetime
    ) -> None:
        """Count those of one pair; `met` is by arm what `met_by` says."""
        span = asked_at, asked_at
        for seen, by_arm in ((self.seen, versions), (self.met, met)):
            for arm, by_name in by_arm.items():
                for name, version in by_name.items():
                    if name != SYSTEM_PROMPTS:
                        _add(seen, (arm, name), version, span=span)

    def merge(self, other: Versions) -> None:
        """Add another batch's."""
        for mine, theirs in ((self.seen, other.seen), (self.met, other.met)):
            for of, by_version in theirs.items():
                for version, span in by_version.items():
                    _add(mine, of, version, span=span)

    def __iter__(self) -> Iterator[tuple[Arm, str, dict[str, Span]]]:
        """Each arm and name, in order, with its versions."""
        for (arm, name), by_version in sorted(self.seen.items()):
            yield arm, name, by_version

    def of(self, arm: Arm, name: str) -> frozenset[str]:
        """All versions of one name."""
        return frozenset(self.seen.get((arm, name), {}))

    def releases(self, candidate: Arm) -> Sequence[Release]:
        """The last change of each arm's each name, the last of all first; empty: nothing has changed."""
        changes: list[Release] = []
        for (arm, name), by_version in self.seen.items():
            if len(by_version) > 1:
                *_, old, new = sorted(by_version, key=lambda each: by_version[each][::-1])
                ended, began = by_version[old][1], by_version[new][0]
                # An arm that seldom runs, a re-run, is not waited for.
                why = f"{named(arm, name, candidate)} changed in mid-run, from {old!r} to {new!r}"
                changes.append(Release(since=ended + _STEP, why=why, clean=began > ended))
        for (arm, name), by_version in self.met.items():
            if len(by_version) < _MOST and (switched := _switch(by_version)) is not None:
                ended, old, new = switched
                why = f"{named(arm, name, candidate)} changed in mid-run, from {old!r} to {new!r}"
                changes.append(Release(since=ended + _STEP, why=why, clean=False))
        return sorted(changes, reverse=True)

    def to_state(self) -> Any:
        """All of it as plain values."""
        return [
            [
                [*of, {version: [moment.timestamp() for moment in span] for version, span in by_version.items()}]
                for of, by_version in seen.items()
            ]
            for seen in (self.seen, self.met)
        ]

    def restore(self, state: Any) -> None:
        """Take up what `to_state` gave."""
        self.seen, self.met = (
            {
                (arm, name): {version: (_moment(first), _moment(last)) for version, (first, last) in spans.items()}
                for arm, name, spans in seen
            }
            for seen in state
        )


def met_by(run: Observation) -> dict[str, str]:
    """The models that a run asked, together, and their system prompts; nothing where somebody names its version."""
    if not run.versions.keys() <= _COMPUTED:
        return {}
    models = ", ".join(sorted({step.name for step in run.steps if step.kind == "model"}))
    met = {"model": models} if models else {}
    prompts = run.versions.get(SYSTEM_PROMPTS, "")
    return {**met, "system prompt": prompts} if prompts else met


def _add(seen: Seen, of: tuple[Arm, str], version: str, *, span: Span) -> None:
    by_version = seen.get(of)
    if by_version is None:
        by_version = seen[of] = {}
    known = by_version.get(version)
    if known is not None:
        first, last = known
        if span[0] < first or span[1] > last:
            by_version[version] = min(first, span[0]), max(last, span[1])
        return
    by_version[version] = span
    if len(by_version) > _MOST:
        del by_version[min(by_version, key=lambda each: by_version[each][1])]


def _switch(by_version: Mapping[str, Span]) -> tuple[datetime, str, str] | None:
    """When the last of the old ones ended before the first of the new ones began, and both; None: they take turns."""
    switched, ended = None, None
    for version, (first, last) in sorted(by_version.items(), key=lambda each: each[1]):
        if ended is not None and first > ended[0]:
            switched = (*ended, version)
        ended = (last, version) if ended is None else max(ended, (last, version))
    return switched


def named(arm: Arm, name: str, candidate: Arm) -> str:
    """What of which arm, as people say it."""
    return f"{name!r} of {'' if arm == candidate else 'the '}{arm!r}"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
