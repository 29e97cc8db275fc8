"""Where a candidate stands on its ladder, in a small file that serving processes read and operators move.

`HOME/ladder/EXPERIMENT/CANDIDATE.json`, replaced as a whole. Every move is a line in the audit trail: before it on the
way up (no trail, no step), after it on the way down (nothing delays a rollback).
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.clock import Clock, Seconds, utc_now
from shadoweval.errors import LadderError
from shadoweval.private import replace_private
from shadoweval.records import INCUMBENT, Arm, Verdict
from shadoweval.traffic.audit import add_to_audit, audit_entry, locked
from shadoweval.traffic.ladder import RUNGS, Position, Rung, Stage, by_operator, by_verdict, checked, start
from shadoweval.traffic.ladder import roles as roles_at
from shadoweval.traffic.polled_file import PolledFile

__all__ = ["Ladder"]

_log: Final = logging.getLogger("shadoweval.traffic")


class Ladder:
    """The ladder of one candidate.

    What was read is trusted for `interval` seconds.

    Raises:
        ValueError: steps that don't go up.
        LadderError: a step that the ladder does not allow, or a file that is damaged or about another candidate.
        OSError: the position or the trail can't be read or written.
    """

    def __init__(
        self,
        experiment: str,
        candidate: str,
        *,
        home: Path,
        rungs: tuple[Rung, ...] = RUNGS,
        interval: float = 0.1,
        clock: Clock = utc_now,
        seconds: Seconds = time.monotonic,
    ) -> None:
        self.rungs = checked(rungs)
        self._home = home.absolute()
        self._path = self._home / "ladder" / experiment / f"{candidate}.json"
        self._names = (experiment, candidate)
        self._clock = clock
        self._file = PolledFile(self._path, interval=interval, clock=seconds)
        self._seen: Position | None = None

    def roles(self, unit: str) -> tuple[Arm, Arm | None]:
        """Which arm answers the unit, and which one shadows it.

        Never raises: a position that is missing or can't be read is off, so the incumbent answers.
        """
        if self._file.due():
            self._poll()
        seen = self._seen
        return (INCUMBENT, None) if seen is None else roles_at(seen, unit)

    def position(self) -> Position:
        """Where the candidate stands; off where it never moved."""
        try:
            return self._decoded(self._path.read_bytes())
        except FileNotFoundError:
            return start(*self._names, when=self._clock())

    def follow(self, verdict: Verdict, *, made_at: datetime, who: str = "verdict") -> Position:
        """Move by a verdict: up, back, or not at all."""
        with locked(self._path.with_suffix(".lock")):  # one mover at a time
            now = self.position()
            new = by_verdict(now, verdict, when=made_at, rungs=self.rungs)
            return self._move(now, new, who=who, reason="; ".join(verdict.reasons) or verdict.why)

    def move(self, to: Stage, *, reason: str, who: str | None = None) -> Position:
        """Move by hand, with a reason."""
        with locked(self._path.with_suffix(".lock")):  # one mover at a time
            now = self.position()
            new = by_operator(now, to, reason=reason, when=self._clock(), rungs=self.rungs)
            return self._move(now, new, who=who, reason=reason)

    def _move(self, now: Position, new: Position, *, who: str | None, reason: str) -> Position:
        if new == now:
            return now
        line = audit_entry(
            f"{new.experiment}/{new.candidate}",
            old=_text(now),
            new=_text(new),
            reason=reason,
            who=who,
            when=self._clock(),
        )
        up = (new.share, new.stage != "off") > (now.share, now.stage != "off")
        if up:
            add_to_audit(self._home, line)
        replace_private(self._path, msgspec.json.format(msgspec.json.encode(new)) + b"\n")
        if not up:
            try:
                add_to_audit(self._home, line)
            except OSError as error:
                _log.warning("A rollback is not in the audit trail", extra={"line": line, "why": str(error)})
        return new

    def _poll(self) -> None:
        turn = self._file.turn()
        if turn is None:
            return
        try:
            content = self._file.changed()
            if content is not None:
                self._seen = self._decoded(content.raw)
        except FileNotFoundError:
            self._seen = None
        except Exception as error:  # noqa: BLE001 - on the request path: what can't be read is off
            if self._seen is not None:
                _log.warning("A ladder can't be read: the incumbent answers", extra={"why": str(error)})
            self._seen = None
        finally:
            turn.release()

    def _decoded(self, content: bytes) -> Position:
        try:
            position = msgspec.json.decode(content, type=Position)
        except msgspec.DecodeError as error:
            raise LadderError(
                *self._names, f"{str(self._path)!r} is damaged ({error}); remove it to begin at off."
            ) from error
        if (position.experiment, position.candidate) != self._names:
            raise LadderError(
                *self._names, f"{str(self._path)!r} is about {position.candidate!r} of {position.experiment!r}."
            )
        return position


def _text(position: Position) -> str:
    return f"{position.stage} {position.share:g}"
