"""What the workloads are wrapped in: nothing, an empty decorator, this project's mirror in several settings."""

# ruff: noqa: ARG002, ARG005, SLF001 - one signature for all targets; a benchmark may look within.

import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["OWN", "Target"]


class Target:
    """The bare function."""

    def __init__(self, sink: str, folder: Path) -> None:
        self.sink, self.folder = sink, folder

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The step as this target observes it; `kind` is root, retriever, model or tool."""
        return function

    scale = 1.0
    """Share of a block's calls that it makes: less for who takes tens of milliseconds a call."""

    def flush(self) -> None:
        """Wait until everything is delivered."""

    def tidy(self) -> None:
        """After each block, on nobody's bill."""

    def lost(self) -> int | None:
        """Calls that were never delivered, since the beginning; None: the sink knows."""
        return 0

    @property
    def helpers(self) -> list[int]:
        """Processes whose CPU time is part of the bill."""
        return []


class Empty(Target):
    """A decorator that passes the call on."""

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            async def apassed(*args: Any, **kwargs: Any) -> Any:
                return await function(*args, **kwargs)

            return apassed

        def passed(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return passed


class Mirrored(Target):
    """This project: every call mirrored through the ring, 5 % of them left alone as control."""

    ring = True
    idle = False
    """Mirrors nothing, so that no collector comes up."""
    options: dict[str, Any] = {}  # noqa: RUF012 - subclasses differ by it

    def __init__(self, sink: str, folder: Path) -> None:
        super().__init__(sink, folder)
        self.folder = folder / "spool"
        self.mirror = self.made()
        self.transport: Any = None
        self.first_calls = 0

    def made(self) -> Any:
        from shadoweval.mirror import Mirror

        return Mirror("benchmark", self._opened, **self.options)

    def _opened(self) -> Any:
        from shadoweval.transport import open_transport

        self.transport = open_transport(self.folder, ring=self.ring)
        return self.transport

    def ready(self) -> None:
        """Have the collector up: what is measured is a process that has run for a while."""
        call = self.mirror(lambda question: question)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            call("first")
            self.first_calls += 1
            if not self.ring or self.idle:
                return
            if getattr(self.transport, "collector", None):
                self._go_round(call)
                return
            time.sleep(0.01)
        raise RuntimeError("The collector does not come up.")

    def _go_round(self, call: Callable[..., Any]) -> None:
        """Touch every page of the ring once, as a process that has run for a while has done."""
        for _ in range(100):
            call("x" * 100_000)
            self.first_calls += 1
            self.flush()

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        from shadoweval.capture import retriever, step, tool

        if kind == "root":
            return self.mirror(function)
        if kind == "tool":
            return tool(effect="read", name=name)(function)
        return retriever(name=name)(function) if kind == "retriever" else step("model", name=name)(function)

    @property
    def waiting(self) -> int:
        """Bytes in the ring that the collector has not written yet."""
        ring = getattr(getattr(self.transport, "way", None), "ring", None)
        return 0 if ring is None else ring.waiting

    def flush(self) -> None:
        until = time.monotonic() + 20
        while self.waiting and time.monotonic() < until:
            time.sleep(0.001)

    def tidy(self) -> None:
        for path in sorted(self.folder.glob("*.seg"))[:-1]:
            path.unlink(missing_ok=True)  # the worker's part, which is not measured here

    def lost(self) -> int | None:
        from shadoweval.transport import SpoolReceiver

        counts = SpoolReceiver(self.folder).counters()
        return sum(counts.get(reason, 0) for reason in ("full", "transport_error", "fault_offer", "fault_encode"))

    @property
    def helpers(self) -> list[int]:
        collector = getattr(self.transport, "collector", None)
        return [collector] if collector else []


class Kept(Mirrored):
    """The same; what it wrote stays, and nothing is waited for."""

    def flush(self) -> None:
        """Whoever injects faults waits, or not."""

    def tidy(self) -> None:
        """Everything is counted at the end."""


class Capped(Mirrored):
    """The same with a cap of 16 KiB: what is larger is left out, and said to be."""

    options = {"max_bytes": 16 * 1024}  # noqa: RUF012


class Experimental(Mirrored):
    """Every call, by an experiment, as a user writes it; what it wrote stays, and nothing is waited for."""

    share = 1.0
    experiment = "experiment"

    def made(self) -> Any:
        from benchmarks import mirror_experiment

        experiment = getattr(mirror_experiment, self.experiment)
        self.folder = experiment.spool
        self._experiment = experiment
        return experiment.mirror(sample=self.share)

    def ready(self) -> None:
        call = self.mirror(lambda question: question)
        until = time.monotonic() + 20
        while self.share == 1.0 and not getattr(self.transport, "ring", False):
            if time.monotonic() > until:
                raise RuntimeError("The collector does not come up.")
            call("first")
            self.first_calls += 1
            self.transport = self._experiment._transport
            time.sleep(0.01)

    def flush(self) -> None:
        """Whoever injects faults waits, or not."""

    def tidy(self) -> None:
        """Everything is counted at the end, or a worker reads it."""

    @property
    def helpers(self) -> list[int]:
        self.transport = self._experiment._transport
        return super().helpers


class Tenth(Experimental):
    """10 % of the calls."""

    share = 0.1


class Hanging(Experimental):
    """For a candidate that never ends."""

    experiment = "hanging"


class Spooled(Mirrored):
    """The same without the ring: one write() a call."""

    ring = False


class NotSampled(Mirrored):
    """Decorated, and sampled so rarely that no call is mirrored."""

    idle = True
    options = {"sample": 1e-12}  # noqa: RUF012


class NotSampledUnit(NotSampled):
    """The same, by the bucket of a unit."""

    options = {"sample": 1e-12, "unit": lambda question: question[:10]}  # noqa: RUF012


class Bucket(Empty):
    """An empty decorator that asks the bucket function where the root's unit falls."""

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        from shadoweval.buckets import bucket

        if kind != "root":
            return super().wrap(kind, name, function)
        if inspect.iscoroutinefunction(function):

            async def abucketed(*args: Any, **kwargs: Any) -> Any:
                bucket("benchmark", args[0][:10])
                return await function(*args, **kwargs)

            return abucketed

        def bucketed(*args: Any, **kwargs: Any) -> Any:
            bucket("benchmark", args[0][:10])
            return function(*args, **kwargs)

        return bucketed


class Off(Mirrored):
    """Decorated and switched off."""

    idle = True
    options = {"sample": 0.0}  # noqa: RUF012


class Killed(Mirrored):
    """Decorated, and stopped by the traffic hook."""

    idle = True
    options = {"decide": lambda unit, attributes: "killed"}  # noqa: RUF012


OWN: dict[str, type[Target]] = {
    "bare": Target,
    "bare again": Target,
    "empty decorator": Empty,
    "mirror, off": Off,
    "mirror, killed": Killed,
    "mirror, not sampled": NotSampled,
    "mirror, not sampled, unit": NotSampledUnit,
    "bucket of a unit": Bucket,
    "mirror, ring": Mirrored,
    "mirror, spool": Spooled,
    "mirror, kept": Kept,
    "mirror, 16 KiB": Capped,
    "mirror, experiment": Experimental,
    "mirror, hanging": Hanging,
    "mirror, 10 %": Tenth,
    "mirror, 10 %, idle": Tenth,
}
