"""Alerts: once for each change of a candidate's decision, never twice for the same."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Sequence
from typing import Final

from shadoweval.errors import SettingsError
from shadoweval.protocols import Notifier
from shadoweval.records import Evaluation, Verdict

__all__ = ["LogNotifier", "WebhookNotifier", "notify_changes"]

log: Final = logging.getLogger(__name__)

_SECONDS: Final = 10.0


class LogNotifier:
    """One log line a change: warning for a rollback, else info."""

    def notify(self, verdict: Verdict, previous: Verdict | None) -> None:
        """Log it."""
        level = logging.WARNING if verdict.rolls_back else logging.INFO
        log.log(level, "verdict changed", extra=_facts(verdict, previous))


class WebhookNotifier:
    """Posts each change as JSON: `text` (the table, as chat systems want it) and the facts.

    Raises:
        SettingsError: not such an address.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingsError("webhook", url, why="give an address that begins with http:// or https://")
        self._url = url

    def notify(self, verdict: Verdict, previous: Verdict | None) -> None:
        """Post it; raises OSError where nobody takes it."""
        body = json.dumps({"text": str(verdict), **_facts(verdict, previous)}).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._url, data=body, headers={"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310 - the scheme was checked
            pass


def _facts(verdict: Verdict, previous: Verdict | None) -> dict[str, object]:
    return {
        "experiment": verdict.experiment,
        "candidate": verdict.candidate,
        "decision": verdict.decision,
        "previous": previous.decision if previous else None,
        "reasons": list(verdict.reasons),
        "pairs": verdict.pairs,
        "live_writes": verdict.live_writes_text,
    }


def notify_changes(evaluation: Evaluation, before: Evaluation | None, notifiers: Sequence[Notifier]) -> int:
    """Notify each notifier of each changed decision; one that raises is logged and does not stop the others.

    Returns:
        How many decisions changed.
    """
    known, changed = {v.candidate: v for v in (before.verdicts if before else ())}, 0
    for verdict in evaluation.verdicts:
        previous = known.get(verdict.candidate)
        if previous is not None and (previous.decision, previous.why) == (verdict.decision, verdict.why):
            continue
        changed += 1
        for notifier in notifiers:
            try:
                notifier.notify(verdict, previous)
            except Exception as error:  # noqa: BLE001 - an alert that can't be sent must not stop the evaluation
                log.warning("alert not sent", extra={"notifier": type(notifier).__name__, "error": repr(error)})
    return changed
