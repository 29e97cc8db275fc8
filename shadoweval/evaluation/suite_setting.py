"""What a suite of cases runs under: the experiment as it is defined, and nothing of the host that serves it.

Neither production's home nor its store, flags, budget and kill switch: a suite that ran on a host whose budget is spent
would have nothing to judge, and one that charged it would stop the mirror.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

from shadoweval.candidate.environment import Target
from shadoweval.experiment import Experiment
from shadoweval.records import Arm
from shadoweval.settings import Settings
from shadoweval.traffic.admission import Admission, Traffic
from shadoweval.traffic.kill import KillSwitch

__all__ = ["set_apart"]


class _NoSwitch(KillSwitch):
    """Whoever wants to end a suite ends the test run."""

    def killed(self) -> bool:
        """Never."""
        return False

    def reason(self) -> None:
        """There is none."""


def set_apart(
    experiment: Experiment,
    home: Path,
    *,
    usd: float | None = None,
    candidates: Mapping[Arm, str | Target] | None = None,
) -> Experiment:
    """A copy that lives in `home` alone; the experiment itself is left as it is.

    Args:
        experiment: As it is defined.
        home: An empty folder.
        usd: What both arms may spend together; None: what they like.
        candidates: In the place of the experiment's; None: its own.
    """
    own = copy.copy(experiment)
    for derived in ("definition", "writes", "scorers"):
        vars(own).pop(derived, None)
    own.candidates = dict(experiment.candidates if candidates is None else candidates)
    elsewhere = any(isinstance(arm, Target) for arm in (*own.candidates.values(), own.incumbent))
    checkouts = str(experiment.settings.checkouts_folder) if elsewhere else ""  # they are dear, and nobody's record
    settings = Settings(home=str(home), checkouts=checkouts)
    own.settings = settings
    own.admission = Admission(
        own.name,
        Traffic(budget={} if usd is None else {"usd": usd}),
        settings=lambda: settings,
        counters=dict[str, int],
        sampled=lambda: None,
    )
    own.admission.switch = _NoSwitch(own.name, home=home)
    return own
