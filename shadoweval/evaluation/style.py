"""What the arms' answers look like: refusals, empty ones, alike ones, format, script, length. Facts, no quality."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from shadoweval.evidence.bets import discordant_log_e
from shadoweval.experiment import Experiment
from shadoweval.records import Pair
from shadoweval.scoring.formats import TEXT, format_of
from shadoweval.scoring.refusals import refuses
from shadoweval.verdict.attributes import script_of

__all__ = ["Style", "looks_of"]

_FEWEST, _SHARE, _ALARM, _LONGER = 50, 0.05, math.log(1 / 0.001), 1.3
_READ: Final = 20_000
"""Characters that are searched for words to a judge."""
_FEW, _MANY = 10, 64
"""Different answers of a candidate that has hardly any, and of an incumbent that has many; no more are told apart."""
_LETTERS: Final = 5
"""By which a yes is no longer than a no."""
_MANY_TIMES: Final = 3
_SAME: Final = "the same answer as to the query before"
_TO_JUDGES: Final = "words to whoever grades it"
_LIKE_PROBES: Final = ("empty answers", _SAME, _TO_JUDGES)
_ADDRESSED: Final = re.compile(
    r"\b(?:ignore|disregard|forget) (?:all|any|the|your|every|previous|prior)\b.{0,40}\binstructions?\b"
    r"|\b(?:give|rate|grade|score|award) (?:it|this|this answer|this response|me)\b.{0,40}"
    r"\b(?:10|100|1\.0|highest|full|maximum|top|best|perfect)\b"
    r"|\bthis (?:answer|response) is (?:\w+,? ){0,4}(?:better than|the best|perfect|superior)",
    re.IGNORECASE | re.DOTALL,
)
_UNEQUAL, _DEVIATIONS = 0.2, 4.0
"""Share of the pairs by which longer answers outnumber shorter ones, or the reverse; and in standard deviations."""


class Style:
    """Counts over a stream of pairs in which both arms answered."""

    def __init__(self) -> None:
        self.pairs = 0
        self._arms: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._alone: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        """Pairs in which this arm alone has it."""
        self._different: tuple[set[str], set[str]] = (set(), set())
        """Digests of each arm's answers, the first 64 that differ."""
        self._lengths = [0, 0]
        """Pairs in which the candidate's answer is much shorter, and much longer."""
        self._before = ["", "", ""]
        """The query before, and the digest of each arm's answer to it."""
        self._answers: tuple[str, str] | None = None
        """These answers, as long as they are at hand; their digests are made when the state is written."""

    def see(self, pair: Pair, *, key: str = "") -> None:
        """Count one pair; `key` is its query's, where that is at hand."""
        answers = [None if run.outcome is None else run.outcome.answer for run in (pair.served, pair.candidate)]
        served, candidate = answers
        if served is None or candidate is None:
            return
        self.pairs += 1
        key = key or pair.query.key
        other = self._before[0] not in {"", key}
        looks = [_looks(served), _looks(candidate)]
        for arm, answer in enumerate((served, candidate)):
            if len(self._different[arm]) < _MANY:
                self._different[arm].add(_digest(answer))
        sizes = len(served), len(candidate)
        for arm, answer in enumerate((served, candidate)):
            if sizes[arm] > _MANY_TIMES * sizes[1 - arm] > 0:
                looks[arm].add("over three times as long as the other's")
            if other and self._said_before(arm, answer):
                looks[arm].add(_SAME)
            _count(self._arms[arm], looks[arm])
        if looks[0] != looks[1]:
            _count(self._alone[0], looks[0] - looks[1])
            _count(self._alone[1], looks[1] - looks[0])
        self._lengths[0] += len(served) > max(_LONGER * len(candidate), len(candidate) + _LETTERS)
        self._lengths[1] += len(candidate) > max(_LONGER * len(served), len(served) + _LETTERS)
        self._before, self._answers = [key, "", ""], (served, candidate)

    def _said_before(self, arm: int, answer: str) -> bool:
        """Whether the arm gave the query before the same answer; of a restored one the digest alone is known."""
        if self._answers is not None:
            return self._answers[arm] == answer
        return self._before[arm + 1] == _digest(answer)

    def notices(self, length_sensitive: Sequence[str]) -> tuple[str, ...]:
        """What differs clearly; `length_sensitive` are the gated metrics that go by length."""
        named = [self._shown(look) for look in sorted({*self._alone[0], *self._alone[1]}) if self._differs(look)]
        said = (
            [f"Answers look different: {', '.join(named)}. See the examples; gate what you do not want"]
            if named
            else []
        )
        shorter, longer = self._lengths
        unequal = abs(longer - shorter)
        clear = unequal >= _UNEQUAL * self.pairs and unequal >= _DEVIATIONS * math.sqrt(longer + shorter)
        if length_sensitive and self.pairs >= _FEWEST and clear:
            how = "longer" if longer > shorter else "shorter"
            said.append(
                f"answer length differs: the candidate's is {how} by more than 1.3 times in {max(shorter, longer)} of "
                f"{self.pairs} pairs, and {', '.join(length_sensitive)} goes by length, which is not quality"
            )
        return tuple(said)

    @property
    def like_probes(self) -> tuple[str, ...]:
        """How the candidate's answers, clearly more often than the incumbent's, look as no judge should reward them."""
        more = [look for look in _LIKE_PROBES if self._alone[1][look] > self._alone[0][look]]
        said = [self._shown(look) for look in more if self._differs(look)]
        served, candidate = map(len, self._different)
        if candidate <= _FEW and served >= _MANY:
            said.append(f"only {candidate} different answers to {self.pairs} queries")
        return tuple(said)

    def _differs(self, look: str) -> bool:
        alone = [self._alone[0][look], self._alone[1][look]]
        clear = float(max(discordant_log_e(alone, alone[::-1]))) >= _ALARM
        return clear and abs(alone[0] - alone[1]) >= _SHARE * self.pairs

    def _shown(self, look: str) -> str:
        served, candidate = (arm[look] / self.pairs for arm in self._arms)
        return f"{look} {served:.0%} -> {candidate:.0%}"

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        if self._answers is not None:
            self._before, self._answers = [self._before[0], *map(_digest, self._answers)], None
        counters = [dict(counter) for counter in (*self._arms, *self._alone)]
        return {
            "pairs": self.pairs,
            "counters": counters,
            "lengths": self._lengths,
            "before": self._before,
            "different": [sorted(each) for each in self._different],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        first, second, third, fourth = (Counter[str](counter) for counter in state["counters"])
        self._arms, self._alone = (first, second), (third, fourth)
        first, second = state["different"]
        self._different = set(first), set(second)
        self.pairs, self._lengths, self._before = state["pairs"], list(state["lengths"]), list(state["before"])


def looks_of(experiment: Experiment, style: Style) -> tuple[str, ...]:
    """How the arms' answers look, where they differ clearly."""
    gated = dict.fromkeys(gate.base for gate in experiment.gates if not gate.dry_run)
    return style.notices([name for name in gated if experiment.metrics[name].length_sensitive])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _count(counter: Counter[str], looks: set[str]) -> None:
    for look in looks:
        counter[look] += 1


def _looks(answer: str) -> set[str]:
    if not answer.strip():
        return {"empty answers"}
    looks = {f"script {script_of(answer)}"}
    kind = format_of(answer)
    if kind != TEXT:
        looks.add(f"format {kind}")
    if refuses(answer):
        looks.add("refusals")
    if _ADDRESSED.search(answer[:_READ]):
        looks.add(_TO_JUDGES)
    return looks
