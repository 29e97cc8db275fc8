"""Workers that know one experiment by different definitions at the same time: whose pairs are whose can't be told."""

from __future__ import annotations

from typing import Final

import msgspec

from shadoweval.protocols import Store
from shadoweval.records import Verdict
from shadoweval.worker.ownership import living

__all__ = ["held_for_rivals", "rivals_of"]

_SENTENCE: Final = (
    "{count} different definitions of {name!r} are worked on at the same time ({digests}): what one's candidates did "
    "may stand beside what another's did. In a deploy this is over once the last worker of the old definition has "
    "ended; two applications need two names."
)


def rivals_of(store: Store, experiment: str) -> str:
    """What is wrong where workers with several definitions are alive; empty: there is one at most.

    A definition that has changed since the pairs were made is no rival: nobody works on the old one.
    """
    digests = sorted({sign.definition for sign in living(store.signs(experiment))})
    if len(digests) < 2:
        return ""
    return _SENTENCE.format(count=len(digests), name=experiment, digests=", ".join(digests))


def held_for_rivals(verdict: Verdict, sentence: str) -> Verdict:
    """The verdict, held by an error where there are rivals."""
    if not sentence:
        return verdict
    return msgspec.structs.replace(verdict, decision="hold", why="error", reasons=(sentence, *verdict.reasons))
