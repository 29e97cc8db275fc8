"""What a command opens first: the experiment, its lock and store, the reading end of its transport, its candidate pool.

Store, transport and candidate are imported at first use, so that a command loads what it needs and nothing else.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shadoweval.checks import checked_instance
from shadoweval.errors import ExperimentError, SettingsError, TargetError, closest
from shadoweval.experiment import Experiment
from shadoweval.private import checked_home, private_folder
from shadoweval.records import Arm

if TYPE_CHECKING:
    from shadoweval.candidate.guard import GuardPolicy
    from shadoweval.candidate.pool import CandidatePool
    from shadoweval.candidate.rates import RateLimit
    from shadoweval.candidate.sandbox import Sandbox
    from shadoweval.store import SqlStore
    from shadoweval.transport import SpoolReceiver

__all__ = ["candidate_pool", "exclusive", "load_experiment", "open_receiver", "open_store"]

_OBJECT = "Pass the object, not its name."
_MEND = "Write module:name of an Experiment, for instance evals.support:support, and run it where the module lies."


@contextlib.contextmanager
def exclusive(folder: Path, name: str) -> Generator[None]:
    """Hold the lock `folder/name`, which one process of this host can hold at a time; it dies with the process.

    Raises:
        SettingsError: another process holds it; the message says which. Or others may write into the folder.
    """
    from shadoweval.transport.locks import sole  # noqa: PLC0415 - see the module's docstring

    private_folder(checked_home(folder))
    path = folder / name
    descriptor = sole(path)
    if descriptor is None:
        holder = path.read_text(encoding="utf-8").strip() or "unknown"
        why = f"process {holder} is at it already; stop that one first, or wait for it"
        raise SettingsError("lock", str(path), why=why)
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def load_experiment(target: str) -> Experiment:
    """The Experiment that `"module:name"` names; the current folder is looked in first.

    Raises:
        TargetError: no such module or name, or no Experiment.
    """
    if not isinstance(target, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users'
        raise TargetError(repr(target), "it is no name", mend=_MEND)
    module, _, name = target.partition(":")
    if not name:
        raise TargetError(target, "it names no attribute", mend=_MEND)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        experiment = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise TargetError(target, f"{module!r} can't be imported: {error}", mend=_MEND) from error
    except AttributeError as error:
        known = [name for name, value in vars(sys.modules[module]).items() if isinstance(value, Experiment)]
        raise TargetError(target, f"{module!r} has no {name!r}", mend=_MEND + closest(name, known)) from error
    if not isinstance(experiment, Experiment):
        raise TargetError(target, f"it is a {type(experiment).__name__}, no Experiment", mend=_MEND)
    return experiment


def open_store(experiment: Experiment) -> SqlStore:
    """The experiment's store; made and brought up to date where need be.

    Raises:
        StoreError, NewerDatabaseError: it can't be used.
        MissingExtraError: the extra `store` is not installed.
    """
    checked_instance("open_store(experiment)", experiment, Experiment, mend=_OBJECT)
    from shadoweval.store import SqlStore  # noqa: PLC0415 - see the module's docstring

    home = checked_home(experiment.settings.folder)
    if experiment.settings.store_url.startswith("sqlite:"):
        private_folder(home)
    return SqlStore(experiment.settings.store_url)


def open_receiver(experiment: Experiment) -> SpoolReceiver:
    """The reading end of the experiment's spool."""
    checked_instance("open_receiver(experiment)", experiment, Experiment, mend=_OBJECT)
    from shadoweval.transport import SpoolReceiver  # noqa: PLC0415 - see the module's docstring

    checked_home(experiment.settings.folder)
    return SpoolReceiver(experiment.spool)


def candidate_pool(
    experiment: Experiment,
    *,
    arms: Sequence[Arm],
    processes: int = 1,
    store: SqlStore | None = None,
    watched: bool = True,
    exchanges: tuple[str, str] | None = None,
) -> CandidatePool:
    """A pool of the named arms, to be entered. Arms without a target are run by their query's `entry`.

    `store` is where `Sandbox(rate=...)` is held over all workers; without one it is not. Where it is not `watched`, no
    kill switch ends what runs. `exchanges`: as of `CandidatePool`.

    Raises:
        UnknownCandidateError: an arm that the experiment does not have.
    """
    from shadoweval.candidate.pool import CandidatePool  # noqa: PLC0415 - see the module's docstring

    switch = experiment.admission.switch
    return CandidatePool(
        {arm: experiment.target(arm) for arm in arms},
        limits=experiment.sandbox.limits,
        stubs=experiment.sandbox.stubs,
        guard=_policy(experiment.sandbox) if experiment.sandbox.guard else None,
        warm=experiment.sandbox.warm,
        processes=processes,
        extract=experiment.outcome,
        failures=experiment.failures,
        hit_id=experiment.hit_id,
        mcp=experiment.sandbox.mcp,
        rate=_rate_limit(experiment, store),
        killed=(lambda: switch.reason() is not None) if watched else None,
        outside=("shadoweval.worker.kill_files", switch.experiment, str(switch.home)) if watched else (),
        exchanges=exchanges,
        checkouts=experiment.settings.checkouts_folder,
    )


def _rate_limit(experiment: Experiment, store: SqlStore | None) -> RateLimit | None:
    if store is None or not experiment.sandbox.rate:
        return None
    from shadoweval.candidate.rates import LONGEST_WAIT, RateLimit  # noqa: PLC0415 - see the module's docstring

    def reserve(endpoint: str, seconds: float) -> float:
        return store.reserve(experiment.name, endpoint, seconds=seconds, longest=LONGEST_WAIT)

    return RateLimit(experiment.sandbox.rate, reserve)


def _policy(sandbox: Sandbox) -> GuardPolicy:
    """What candidates may touch.

    Raises:
        ExperimentError: a writable place that is not there, which the kernel could not tell from others.
    """
    from shadoweval.candidate.guard import Endpoint, GuardPolicy, resolved  # noqa: PLC0415 - see the module's docstring

    for place in sandbox.writable:
        if not Path(place).exists():
            why = f"Sandbox(writable=...) names {place!r}, which is not there."
            raise ExperimentError(f"{why} Make it before the worker starts, or name the folder in which it will be.")
    addresses = (address.rpartition(":") for address in sandbox.allow)
    policy = GuardPolicy(
        scratch="",
        allow=tuple(Endpoint(host.strip("[]"), int(port)) for host, _, port in addresses),
        unix_sockets=tuple(sandbox.unix_sockets),
        writable=tuple(str(Path(place).absolute()) for place in sandbox.writable),
    )
    if sandbox.layers is not None:
        policy = msgspec.structs.replace(policy, layers=tuple(sandbox.layers))
    return resolved(policy)
