"""What the verdict must know of the candidate's writes, and what it says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shadoweval.records import WriteComparison
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.rules import Rules

__all__ = ["JUDGING", "WRITES", "WriteFacts", "doubtful_writes", "notice_of_writes", "self_contradiction"]

WRITES: Final = "writes"
"""The metric that compares the candidate's writes with what was served."""
JUDGING: Final = frozenset({WRITES, "writes_f1"})
"""Metrics that judge writes."""
_KINDS: Final = 50
_SHOWN: Final = 5
_FEW: Final = 3


@dataclass(slots=True, kw_only=True)
class WriteFacts:
    """Counts over pairs in which either arm wrote."""

    pairs: int = 0
    different: int = 0
    """Pairs in which the candidate wrote otherwise."""
    unclear: int = 0
    """Pairs of which it can't be said."""
    cut_short: int = 0
    """Pairs in which an arm failed before anything differed: what it would still have written is not known."""
    differences: Counter[str] = field(default_factory=Counter[str])
    """What differs, in words, and in how many pairs; beyond 50 kinds the rest is one."""
    tools: dict[str, str] = field(default_factory=dict[str, str])
    """Effect of each tool that was called."""

    @property
    def doubtful(self) -> bool:
        """Whether most of the pairs that can tell differ, or might: then a mean over all queries hides it."""
        odd = self.different + self.unclear
        comparable = self.pairs - self.cut_short
        return odd >= _FEW and (2 * odd > comparable or 2 * self.different > comparable - self.unclear)

    def count(self, comparison: WriteComparison | None, *, ended: bool) -> None:
        """Count one pair's; `ended`: both arms' runs came to their end."""
        if comparison is None or not comparison.tools:
            return
        self.pairs += 1
        self.unclear += bool(comparison.unclear)
        self.different += not comparison.equal and not comparison.unclear
        self.cut_short += not ended and comparison.equal and not comparison.unclear
        self._add(dict.fromkeys([comparison.unclear] if comparison.unclear else comparison.differences, 1))
        self.tools |= comparison.tools

    def _add(self, differences: Mapping[str, int]) -> None:
        for words, n in differences.items():
            known = words in self.differences or len(self.differences) < _KINDS
            self.differences[words if known else "others"] += n

    def merge(self, other: WriteFacts) -> None:
        """Add another batch's counts."""
        self.pairs += other.pairs
        self.different += other.different
        self.unclear += other.unclear
        self.cut_short += other.cut_short
        self._add(other.differences)
        self.tools |= other.tools

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        for name in self.__slots__:
            setattr(self, name, state[name])
        self.differences, self.tools = Counter(state["differences"]), dict(state["tools"])


def doubtful_writes(facts: WriteFacts, gates: Sequence[Gate], rules: Rules) -> str:
    """Why nothing can be promoted as far as writes go; empty: nothing stands in the way."""
    judging = [gate.base for gate in gates if gate.base in JUDGING and not gate.dry_run]
    if not facts.pairs or not gates or rules.writes == "waived":
        return ""
    if not judging:
        unknown = sorted(tool for tool, effect in facts.tools.items() if effect == "unknown")
        declare = f" Of unknown effect, which counts as a write: {_listed(unknown)}; declare reads as reads."
        return (
            f"In {facts.pairs} pairs an arm called tools that write ({_listed(sorted(facts.tools))}), and no gate "
            "judges what the candidate writes. Add no_worse('writes', by=0.01), or say Rules(writes='waived')."
            f"{declare if unknown else ''}"
        )
    if WRITES in judging and facts.doubtful:
        comparable, unclear = facts.pairs - facts.cut_short, f", {facts.unclear} unclear" if facts.unclear else ""
        return (
            f"In {facts.different + facts.unclear} of the {comparable} pairs in which an arm wrote and both came to "
            f"their end, the candidate wrote otherwise{unclear} ({_most(facts)}), and a gate over all queries can't "
            "see that where few write. Mend the candidate, or say which arguments count: Stubs(compare={...})."
        )
    return ""


def notice_of_writes(facts: WriteFacts, rules: Rules) -> tuple[str, ...]:
    """What the candidate would have written otherwise, whatever the verdict; nothing where all is the same."""
    odd = facts.different + facts.unclear
    if not odd:
        return ()
    waived = " (waived by Rules(writes='waived'))" if rules.writes == "waived" else ""
    unclear = f", {facts.unclear} of them unclear" if facts.unclear else ""
    return (
        f"WRITES DIFFER in {odd} of the {facts.pairs} pairs in which an arm wrote{unclear}{waived}: {_most(facts)}",
    )


def self_contradiction(difference: float, n: int) -> str:
    """The incumbent's own re-run wrote otherwise than it was served."""
    return (
        f"The incumbent itself wrote otherwise in {abs(difference):.1%} of its {n} re-runs than it was served, so no "
        "candidate can write the same. Say which arguments count, Stubs(compare={...}), or compare like with like: "
        "writes(like_with_like=True) and Experiment(rerun=1.0)."
    )


def _most(facts: WriteFacts) -> str:
    most = [f"{words} ({n})" for words, n in facts.differences.most_common(_SHOWN)]
    more = len(facts.differences) - len(most)
    return "; ".join(most) + (f"; and {more} more kinds" if more else "")


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
