"""How log lines of a command look: the message, then its facts (`extra=`), which a plain format leaves out."""

from __future__ import annotations

import logging
import sys

from shadoweval.cli.output import inert
from shadoweval.logs import about_now

__all__ = ["log_to_stderr"]

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "shadow"}
"""Attributes of every record, and the mark by which telemetry tells ours."""


class _WithFacts(logging.Formatter):
    """`WARNING logger: message (arm='new', why='it left a thread at work')`."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        known = about_now() if record.name.startswith("shadoweval") else {}
        every = {**known, **{name: value for name, value in vars(record).items() if name not in _PLAIN}}
        facts = ", ".join(f"{name}={value!r}" for name, value in every.items())
        line = super().formatMessage(record)
        return f"{line} ({facts})" if facts else line

    def format(self, record: logging.LogRecord) -> str:
        """With its traceback; what is in users' words can't drive the terminal."""
        return inert(super().format(record))


def log_to_stderr(*, verbose: bool) -> None:
    """Show warnings on stderr, with `verbose` all that happens; unless the program has set up logging already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_WithFacts("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
