"""The one place that catches what our own work on the request path raises.

`with guard:` around all of it. What is caught is counted by the point it happened at, said once a minute in the log,
and never raised again. KeyboardInterrupt and SystemExit pass: they are the process's, wherever they strike.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Final, Literal, Self

from shadoweval.errors import TooLargeError, UncopyableError
from shadoweval.protocols import Ledger
from shadoweval.seldom import Seldom

__all__ = ["Shield"]

Point = Literal["decide", "snapshot", "outcome", "redact", "encode", "offer"]

_log: Final = logging.getLogger("shadoweval.mirror")
_said = Seldom()


class Shield:
    """Catches, counts and tells.

    Attributes:
        point: What is being done; the name under which a fault is counted.
    """

    __slots__ = ("experiment", "ledger", "point")

    def __init__(self, experiment: str, ledger: Ledger, point: Point) -> None:
        self.experiment, self.ledger = experiment, ledger
        self.point: Point = point

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return error is not None and self.caught(error)

    def caught(self, error: BaseException) -> bool:
        """Count and tell an error of ours; False: it is none of ours, raise it again."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return False
        try:
            reason = self._reason(error)
            self.lost(reason)
            if reason.startswith("fault") or reason == "uncopyable":
                _warn(self.experiment, reason, error)
        except Exception:  # noqa: BLE001, S110 - a log handler that raises, or no memory left: nobody is left to be told
            pass
        return True

    def at(self, point: Point) -> Self:
        """The guard itself, from here on at `point`."""
        self.point = point
        return self

    def lost(self, reason: str) -> None:
        """Count what became of the call."""
        self.ledger.count(reason)

    def _reason(self, error: BaseException) -> str:
        if self.point == "snapshot":
            if isinstance(error, TooLargeError):
                return "too_large"
            if isinstance(error, UncopyableError | UnicodeError):  # UnicodeError: a lone surrogate is no text
                return "uncopyable"
        return f"fault_{self.point}"


def _warn(experiment: str, reason: str, error: BaseException) -> None:
    if not _said.due((experiment, reason)):
        return
    facts = {"experiment": experiment, "reason": reason, "error_type": type(error).__name__}
    if reason == "uncopyable":  # it says what could not be copied, and that is no fault of ours
        _log.warning(
            "A call was served but not mirrored: %s Further ones are counted as uncopyable only", error, extra=facts
        )
        return
    _log.warning(
        "A call was served but not mirrored; further ones are counted as %s only", reason, extra=facts, exc_info=error
    )
