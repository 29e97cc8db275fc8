"""`evaluate --dry-run`: what judges would be asked, and what that costs."""

from __future__ import annotations

from shadoweval.cli.output import Answer, say
from shadoweval.evaluation.estimate import estimate
from shadoweval.experiment import Experiment
from shadoweval.scoring.judges.questions import Spent
from shadoweval.worker.opening import open_store

__all__ = ["dry_run"]


def dry_run(experiment: Experiment, answer: Answer) -> int:
    """Say it by judge; nobody is asked, and nothing is kept."""
    with open_store(experiment) as store:
        wanted = estimate(experiment, store)
    answer.add(
        experiment=experiment.name,
        judges={
            name: {
                "calls": spent.calls,
                "input_tokens": spent.input_tokens,
                "output_tokens_at_most": spent.output_tokens,
                "usd_at_most": spent.usd or None,
            }
            for name, spent in wanted.items()
        },
    )
    for name, spent in sorted(wanted.items()):
        say(_sentence(name, spent))
    if not any(spent.calls for spent in wanted.values()):
        say("No judge would be asked anything new.")
    return 0


def _sentence(name: str, spent: Spent) -> str:
    cost = f"at most {spent.usd:.4g} USD" if spent.usd else "no price is known: Judge(price=...)"
    return (
        f"{name}: {spent.calls} new calls, about {spent.input_tokens} tokens in (characters / 4), at most "
        f"{spent.output_tokens} out; {cost}"
    )
