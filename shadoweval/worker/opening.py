"""What the doors open: the experiment a name stands for, its store, the reading end of its transport."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from shadoweval.errors import TargetError
from shadoweval.experiment import Experiment

if TYPE_CHECKING:
    from shadoweval.store import SqlStore
    from shadoweval.transport import SpoolReceiver

__all__ = ["load_experiment", "open_receiver", "open_store"]

_MEND = "Write module:name of an Experiment, for instance evals.support:support, and run it where the module lies."


def load_experiment(target: str) -> Experiment:
    """The Experiment that `"module:name"` names; the current folder is looked in first.

    Raises:
        TargetError: no such module or name, or no Experiment.
    """
    module, _, name = target.partition(":")
    if not name:
        raise TargetError(target, "it names no attribute", mend=_MEND)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise TargetError(target, f"{module!r} can't be imported: {error}", mend=_MEND) from error
    except AttributeError as error:
        raise TargetError(target, f"{module!r} has no {name!r}", mend=_MEND) from error
    if not isinstance(found, Experiment):
        raise TargetError(target, f"it is a {type(found).__name__}, no Experiment", mend=_MEND)
    return found


def open_store(experiment: Experiment) -> SqlStore:
    """The experiment's store; made and brought up to date where need be.

    Raises:
        StoreError, NewerDatabaseError: it can't be used.
        MissingExtraError: the extra `store` is not installed.
    """
    from shadoweval._optional import require  # noqa: PLC0415 - the doors load what they use

    require("sqlmodel", extra="store", needed_for="The store")
    from shadoweval.store import SqlStore  # noqa: PLC0415

    if experiment.settings.store_url.startswith("sqlite:"):
        experiment.settings.folder.mkdir(parents=True, exist_ok=True)
    return SqlStore(experiment.settings.store_url)


def open_receiver(experiment: Experiment) -> SpoolReceiver:
    """The reading end of the experiment's spool."""
    from shadoweval.transport import SpoolReceiver  # noqa: PLC0415 - see above

    return SpoolReceiver(experiment.spool)
