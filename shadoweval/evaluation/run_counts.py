"""What a report counts of the runs beside their scores: refusals, containment, processes, versions, money, writes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from shadoweval.candidate.cold_start import GIVEN_UP
from shadoweval.evaluation.divergences import Divergences
from shadoweval.evaluation.failures import Failures
from shadoweval.records import Observation, Pair, Refusal, WriteComparison
from shadoweval.records.acts import unpriced

__all__ = ["RunCounts"]

_Key = TypeVar("_Key")
_SHOWN: Final = 50
_REASONS: Final = 3
_KINDS: Final = 1_000
"""Refused acts, layers, versions or reasons that are told apart; what comes later is counted as others."""
_MANY: Final = "more than 1,000 kinds"
_MOST: Final = 2**31
"""A larger count is a candidate's invention, and no state could hold the sum of several."""
_NOTHING: Final = WriteComparison()


class RunCounts:
    """Counts over a stream of pairs."""

    def __init__(self) -> None:
        self.costs: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self._priced: Counter[str] = Counter()
        self._dollars: Counter[str] = Counter()
        self.writes: Counter[str] = Counter(_NOTHING.counts)
        self.divergences = Divergences()
        self.failures = Failures()
        self._refused: Counter[tuple[str, str, str]] = Counter()
        self._layers: Counter[str] = Counter()
        self._cold: Counter[str] = Counter()
        self._runs = 0
        self._versions: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def add(self, pair: Pair, writes: WriteComparison = _NOTHING) -> None:
        """Count one pair, and its writes."""
        self._runs += 1
        for refusal in pair.candidate.refusals:
            act = (refusal.kind, refusal.detail, refusal.layer)
            _add(self._refused, act, min(refusal.count, _MOST), others=("others", _MANY, ""))
        for layer in pair.candidate.containment:
            _add(self._layers, layer, others=f"others missing: {_MANY}")
        if pair.candidate.cold:
            _add(self._cold, pair.candidate.cold, others=f"{GIVEN_UP} {_MANY} of reasons")
        arms = {"incumbent": pair.served, pair.candidate.arm: pair.candidate, "incumbent again": pair.rerun}
        for arm, observation in arms.items():
            if observation is not None:
                self._add_run(arm, observation)
                for again in observation.again:
                    self.costs[f"{arm}, repeated"] += again.usage.cost_usd or 0.0  # pyright: ignore[reportArgumentType] - dollars
        if writes is not _NOTHING and writes != _NOTHING:
            self.writes.update(writes.counts)

    def _add_run(self, arm: str, observation: Observation) -> None:
        self.failures.add(arm, observation)
        seen = self._versions[arm]
        for name, version in observation.versions.items():
            if name not in seen and len(seen) >= _KINDS:
                name, version = "others", _MANY  # noqa: PLW2901 - as others
            full = len(seen[name]) >= _KINDS and version not in seen[name]
            seen[name].add("others" if full else version)
        self.tokens[arm] += (observation.usage.input_tokens or 0) + (observation.usage.output_tokens or 0)
        if observation.usage.cost_usd is not None:
            self.costs[arm] += observation.usage.cost_usd  # pyright: ignore[reportArgumentType] - dollars, not a count
            if not unpriced(observation.steps):
                self._priced[arm] += 1
                self._dollars[arm] += observation.usage.cost_usd  # pyright: ignore[reportArgumentType] - as above

    def projected(self, calls: int) -> dict[str, float]:
        """By arm: USD of so many calls, by the mean of those runs of which every model call has a price."""
        return {arm: self._dollars[arm] / runs * calls for arm, runs in self._priced.items()}

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "costs": dict(self.costs),
            "tokens": dict(self.tokens),
            "priced": dict(self._priced),
            "dollars": dict(self._dollars),
            "writes": dict(self.writes),
            "divergences": self.divergences.to_state(),
            "failures": self.failures.to_state(),
            "refused": [[*refused, count] for refused, count in self._refused.items()],
            "layers": dict(self._layers),
            "cold": dict(self._cold),
            "runs": self._runs,
            "versions": {arm: {name: sorted(v) for name, v in seen.items()} for arm, seen in self._versions.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.costs, self.writes = Counter(state["costs"]), Counter(state["writes"])
        self.tokens = Counter(state["tokens"])
        self.divergences.restore(state["divergences"])
        self.failures.restore(state["failures"])
        self._refused = Counter({(kind, detail, layer): count for kind, detail, layer, count in state["refused"]})
        self._layers, self._runs = Counter(state["layers"]), state["runs"]
        self._cold = Counter(state.get("cold", {}))
        self._priced, self._dollars = Counter(state["priced"]), Counter(state["dollars"])
        for arm, seen in state["versions"].items():
            self._versions[arm].update({name: set(versions) for name, versions in seen.items()})  # also of none

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Refused acts, the most frequent first; beyond 50 kinds the rest is one line."""
        ranked = self._refused.most_common()
        shown = [Refusal(kind=k, detail=d, layer=la, count=n) for (k, d, la), n in ranked[:_SHOWN]]
        rest = sum(n for _, n in ranked[_SHOWN:])
        if rest:
            shown.append(Refusal(kind="others", detail=f"{len(ranked) - _SHOWN} more kinds", count=rest))
        return tuple(shown)

    @property
    def containment(self) -> dict[str, str]:
        """Layer -> in how many of the runs it was in force, or why it was missing; and what was refused beside runs."""
        layers: dict[str, str] = {}
        for layer, n in self._layers.items():
            name, missing, why = layer.partition(" missing: ")
            outside, refused, act = layer.partition(" refused: ")
            share = "all" if n == self._runs else f"{n} of {self._runs}"
            if refused:
                before = f"{layers[outside]}; " if outside in layers else "refused, and no run's doing: "
                layers[outside] = f"{before}{act}"
            else:
                layers[name] = f"missing in {share} runs: {why}" if missing else f"in force in {share} runs"
        return layers or {"guard": "none was in force: the candidate ran as any process of this user"}

    @property
    def notices(self) -> tuple[str, ...]:
        """Why runs began in new processes, the most frequent first; the first process of all goes without saying."""
        given_up = ((why, n) for why, n in self._cold.most_common(_REASONS) if GIVEN_UP in why)
        return tuple(f"{n:,} of {self._runs:,} runs began in a new process, since {why}" for why, n in given_up)

    @property
    def versions(self) -> dict[str, dict[str, str]]:
        """By arm: each version that decided answers."""
        return {
            arm: {name: ", ".join(sorted(seen)) for name, seen in by_name.items()}
            for arm, by_name in self._versions.items()
        }


def _add(counter: Counter[_Key], key: _Key, count: int = 1, *, others: _Key) -> None:
    """Count under a key or, where there are too many, under that of others."""
    counter[key if key in counter or len(counter) < _KINDS else others] += count
