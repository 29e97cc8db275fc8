"""Several definitions of one experiment at the same time, in workers or in what mirrors: whose pairs are whose?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import Final

import msgspec

from shadoweval.protocols import Definition, Store
from shadoweval.records import Verdict
from shadoweval.worker.ownership import living

__all__ = ["held_for_rivals", "rivals_of"]

_WORKED_ON: Final = (
    "{count} different definitions of {name!r} are worked on at the same time ({digests}): what one's candidates did "
    "may stand beside what another's did. In a deploy this is over once the last worker of the old definition has "
    "ended; two applications need two names."
)
_MIRRORED: Final = (
    "{count} different definitions of {name!r} are mirrored under at the same time ({definitions}): what two "
    "applications were asked may stand side by side. In a deploy this is over ten minutes after the last call of the "
    "old definition; two applications need two names, and then a new window."
)
_JUST: Final = timedelta(minutes=10)
_SIDE_BY_SIDE: Final = timedelta(hours=1)
"""No deploy takes longer."""
_REMEMBERED: Final = timedelta(days=1)


def rivals_of(store: Store, experiment: str, *, since: datetime | None = None) -> tuple[str, ...]:
    """What is wrong where several definitions are alive: of workers, and of what mirrored since the window began.

    A definition that has changed since the pairs were made is no rival: nobody works on the old one.
    """
    sentences: list[str] = []
    digests = sorted({sign.definition for sign in living(store.signs(experiment))})
    if len(digests) > 1:
        sentences.append(_WORKED_ON.format(count=len(digests), name=experiment, digests=", ".join(digests)))
    rivals = side_by_side(store.definitions(experiment), since=since)
    if rivals:
        named = ", ".join(f"{each.definition} of {each.entry}" for each in rivals)
        sentences.append(_MIRRORED.format(count=len(rivals), name=experiment, definitions=named))
    return tuple(sentences)


def side_by_side(definitions: Sequence[Definition], *, since: datetime | None = None) -> Sequence[Definition]:
    """Those that mirror beside another one; by the times of calls alone, whatever time it is now.

    Two do that have both mirrored within the last ten minutes of all calls, or next to each other for over an hour of
    the last day.
    """
    counted = list(_counted(definitions, since))
    newest = max((each.last_at for each in counted), default=None)
    rivals: set[str] = set()
    for one, other in combinations(counted, 2):
        first, last = max(one.first_at, other.first_at), min(one.last_at, other.last_at)
        if newest is not None and (
            newest - last <= _JUST or (newest - last <= _REMEMBERED and last - first > _SIDE_BY_SIDE)
        ):
            rivals |= {one.definition, other.definition}
    return [each for each in counted if each.definition in rivals]


def _counted(definitions: Iterable[Definition], since: datetime | None) -> Iterator[Definition]:
    for each in definitions:
        if since is None or each.last_at >= since:
            yield each if since is None else msgspec.structs.replace(each, first_at=max(each.first_at, since))


def held_for_rivals(verdict: Verdict, sentences: Sequence[str]) -> Verdict:
    """The verdict, held by an error where there are rivals."""
    if not sentences:
        return verdict
    return msgspec.structs.replace(verdict, decision="hold", why="error", reasons=(*sentences, *verdict.reasons))
