"""Whether a command was typed where the application runs: a wrong folder makes no new home in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadoweval.cli.control import traces
from shadoweval.errors import ShadowEvalError
from shadoweval.experiment import Experiment
from shadoweval.worker.opening import open_store

if TYPE_CHECKING:
    from shadoweval.store import SqlStore

__all__ = ["check_home", "found_store", "is_unmade"]


def check_home(experiment: Experiment) -> None:
    """Raise where the store would be made by a command that only reads it.

    Raises:
        ShadowEvalError: the store is the embedded one, and nothing has run in its home.
    """
    home = experiment.settings.folder
    if is_unmade(experiment) and next(traces(home), None) is None:
        raise ShadowEvalError(
            f"No experiment has mirrored or run anything in {str(home)!r}. Nothing was made. Run it where the "
            "application runs, or set SHADOWEVAL_HOME to its folder."
        )


def is_unmade(experiment: Experiment) -> bool:
    """Whether the store is the embedded one and not there, so that opening it would make it here."""
    embedded = experiment.settings.folder / "shadow.db"
    return experiment.settings.store_url == f"sqlite:///{embedded}" and not embedded.exists()


def found_store(experiment: Experiment) -> SqlStore:
    """The experiment's store, as `open_store` opens it, after `check_home`."""
    check_home(experiment)
    return open_store(experiment)
