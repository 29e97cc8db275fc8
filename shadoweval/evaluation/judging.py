"""Judges of an evaluation remember and spend in its store: all processes share both, and an erasure reaches them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from shadoweval.experiment import Experiment
from shadoweval.protocols import Store
from shadoweval.records import MetricSummary
from shadoweval.scoring.judges.of_pairs import BY_PLACE, LONGER
from shadoweval.scoring.judges.questions import Spent
from shadoweval.scoring.judges.sitting import Sitting, sitting

if TYPE_CHECKING:
    from shadoweval.verdict.trial import Trial

__all__ = ["ENOUGH_PEOPLE", "MICRO", "gated_by_judges", "judge_notices", "judging", "people_marked"]

MICRO: Final = 1_000_000
"""Of a dollar, as the store counts it."""
_PEOPLE: Final = frozenset({"human_correctness", "human_preference"})
ENOUGH_PEOPLE: Final = 100
"""Marks from which on it is known how far to trust a judge."""
_FEWEST, _OFTEN, _NEARLY_ALWAYS = 20, 0.2, 0.8


@contextmanager
def judging(experiment: str, store: Store, *, dry: bool = False) -> Generator[Sitting]:
    """Judges that are asked here keep their replies in the store; `dry`: nobody is asked, and nothing is kept."""
    with sitting(Sitting(_KeptInStore(experiment, store), dry=dry)) as here:
        yield here


def judge_notices(summaries: Sequence[MetricSummary], *, gated: Sequence[str] = ()) -> tuple[str, ...]:
    """What speaks against judges: place or length decide for one of pairs; nobody has checked what is `gated`."""
    shares = {each.metric: (each.candidate or 0.0, each.scored) for each in summaries}
    said: list[str] = []
    by_place, pairs = shares.get(BY_PLACE, (0.0, 0))
    if pairs >= _FEWEST and by_place >= _OFTEN:
        said.append(
            f"pairwise_judge goes by the place of an answer: in {by_place:.0%} of {pairs} pairs it preferred the same "
            "place in both orders, which counts as a tie. Ask another model"
        )
    longer, decided = shares.get(LONGER, (0.0, 0))
    if decided >= _FEWEST and longer >= _NEARLY_ALWAYS:
        said.append(
            f"pairwise_judge preferred the longer answer in {longer:.0%} of {decided} decided pairs, which may be "
            "length and not quality. Read some of them"
        )
    people = max((each.scored for each in summaries if each.metric in _PEOPLE), default=0)
    if gated and people < ENOUGH_PEOPLE:
        said.append(
            f"{', '.join(gated)} is a model's word alone: people have marked {people} of these answers, and from "
            f"{ENOUGH_PEOPLE} on it is known how far to trust it (shadoweval labels)"
        )
    return tuple(said)


def people_marked(trial: Trial) -> int:
    """Pairs of which a person has marked both answers."""
    return max((counts.both for name, counts in trial.counts.items() if name in _PEOPLE), default=0)


def gated_by_judges(experiment: Experiment) -> list[str]:
    """Metrics of judges on which gates rest that count."""
    # Only here: without its extras, an evaluation says which one it lacks before anything loads numpy.
    from shadoweval.verdict.judges import judged_gates  # noqa: PLC0415

    return [metric.name for metric in experiment.metrics.values() if judged_gates(metric, experiment.gates)]


class _KeptInStore:
    """As of `Kept`."""

    def __init__(self, experiment: str, store: Store) -> None:
        self._experiment, self._store = experiment, store

    def replies(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """What is kept under these keys."""
        return self._store.judgements(keys)

    def keep(self, key: str, record: bytes, *, query_id: str) -> None:
        """Keep a reply about this query, as long as the query is there."""
        self._store.add_judgement(key, record, query_id=query_id)

    def spend(self, judge: str, period: str, spent: Spent) -> Spent:
        """Add to what was spent on a judge in a period; returns all of it."""
        total = self._store.spend(
            self._experiment,
            judge,
            period,
            spent={
                "calls": spent.calls,
                "input_tokens": spent.input_tokens,
                "output_tokens": spent.output_tokens,
                "micro_usd": round(spent.usd * MICRO),
            },
        )
        return Spent(
            calls=total["calls"],
            input_tokens=total["input_tokens"],
            output_tokens=total["output_tokens"],
            usd=total["micro_usd"] / MICRO,
        )
