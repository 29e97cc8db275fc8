"""Flags from a file: read again when its content changes, and off whenever it can't be trusted.

What kills, until it is mended: the file is missing, unreadable, damaged, holds a key we don't know, or is older than
the one in use (an older modification time or a smaller `version`). The format is in `flagfile`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from shadoweval.checks import checked_instance, checked_keywords, checked_number
from shadoweval.clock import Clock, Seconds, utc_now
from shadoweval.errors import FlagFileError
from shadoweval.protocols import FlagProvider
from shadoweval.traffic.flagfile import FlagFile, Loss, parse_flags
from shadoweval.traffic.polled_file import Content, PolledFile

__all__ = ["StaticFlags"]

_log: Final = logging.getLogger("shadoweval.traffic")
_UNREAD: Final = "it was not read yet"
_TAKES: Final = "reading it takes"
_PATIENCE: Final = 0.05
_STUCK: Final = 5.0
"""Seconds after which a reading that does not end is taken for a file that can't be read."""


@checked_keywords()
class StaticFlags(FlagProvider):
    """A `FlagProvider` over a TOML file.

    Replace the file as a whole (write beside it, then rename): half of a file written in place may be a valid file with
    fewer conditions, for as long as the writing takes.

    Args:
        file: The file; it need not exist, which means no.
        interval: Seconds for which what was read is trusted; ramps move on at each check of the file.
        clock: Aware UTC time, for ramps.
        seconds: Monotonic seconds, for `interval`.
    """

    def __init__(
        self, file: str | Path, *, interval: float = 0.1, clock: Clock = utc_now, seconds: Seconds = time.monotonic
    ) -> None:
        file = checked_instance("StaticFlags(file)", file, (str, PathLike))
        checked_number("StaticFlags(interval)", interval, low=0)
        self._file = PolledFile(Path(file), interval=interval, clock=seconds)
        self._clock = clock
        self._when = clock()
        self._seconds, self._read_at = seconds, -float("inf")
        self._fault: str | None = _UNREAD
        self._used: tuple[FlagFile, Content] | None = None

    def mirrored(self, experiment: str, unit: str, attributes: Mapping[str, Any]) -> bool:
        """Whether the file lets the call be mirrored."""
        return self.loss(experiment, unit, attributes) is None

    def loss(self, experiment: str, unit: str, attributes: Mapping[str, Any]) -> Loss | None:
        """Why the call is not mirrored, as a name in `counters.LOSSES`; None: the file lets it."""
        flags = self._current()
        if flags is None:
            return "flag_error"
        plan = flags.plans.get(experiment)
        if plan is None or flags.kills(experiment):
            return "flag_off"
        return plan.loss(unit, attributes, self._when)

    def share(self, experiment: str) -> float:
        """Share of the units that the file lets through now; conditions come on top."""
        flags = self._current()
        plan = None if flags is None else flags.plans.get(experiment)
        return plan.ramp.at(self._when) if plan is not None and plan.enabled else 0.0

    def kill_reason(self, experiment: str) -> str | None:
        """What kills the experiment: the file's `kill` names it, or the file can't be trusted; None: neither."""
        flags = self._current()
        if flags is None:
            return f"the flag file {self._file.path} ({self._fault})"
        return f"`kill` in the flag file {self._file.path}" if flags.kills(experiment) else None

    def reason(self) -> str | None:
        """Why the file can't be used; None: it can."""
        self._current()
        return None if self._fault is None else f"Flag file {str(self._file.path)!r} mirrors nothing: {self._fault}."

    def _current(self) -> FlagFile | None:
        if self._file.due() or self._fault is _UNREAD:
            self._poll()
        used = self._used
        return None if self._fault is not None or used is None else used[0]

    def _poll(self) -> None:
        # Only before anything is known is there something to wait for: without it the call is not mirrored.
        turn = self._file.turn(_PATIENCE if self._fault is _UNREAD else 0.0)
        if turn is None:
            if self._used is not None and self._seconds() - self._read_at > _STUCK:
                self._fault = f"{_TAKES} longer than {_STUCK:g} s"
            return
        try:
            self._read()
        finally:
            self._read_at = self._seconds()
            turn.release()

    def _read(self) -> None:
        used, fault = self._used, None
        try:
            self._when = self._clock()
            content = self._file.changed()
            if content is None:
                self._fault = None if self._fault is not None and self._fault.startswith(_TAKES) else self._fault
                return
            used, fault = _taken(content, used)
        except OSError as error:
            fault = f"it can't be read ({error.strerror or error})"
        except FlagFileError as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the file or a clock means no, never a crash
            fault = f"{type(error).__name__}: {error}"
        if fault is not None and fault != self._fault:
            _log.warning(
                "The flag file can't be used: nothing is mirrored until it is mended",
                extra={"path": str(self._file.path), "why": fault},
            )
        self._used, self._fault = used, fault


def _taken(
    content: Content, used: tuple[FlagFile, Content] | None
) -> tuple[tuple[FlagFile, Content] | None, str | None]:
    """What is in use after new content was seen, and why that is not the new content."""
    if used is None:
        return (parse_flags(content.raw), content), None
    flags, before = used
    if content.digest == before.digest:
        return used, None
    if content.modified < before.modified:
        return used, "it is older than the one in use; if that is meant, `touch` it"
    new = parse_flags(content.raw)
    if flags.version is not None and (new.version is None or new.version < flags.version):
        return used, f"its version goes back from {flags.version} to {new.version}"
    return (new, content), None
