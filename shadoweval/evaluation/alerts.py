"""Alerts: who is told of changed decisions, and how. What is owed lies in the store; `courier.py` takes it there."""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import http.client
import logging
import re
import secrets
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from shadoweval.errors import SettingsError, ShadowEvalError
from shadoweval.evaluation.alert_forms import Signer, body_of, facts_of, wants_chat_form
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.protocols import Alert
from shadoweval.records import Evaluation

__all__ = ["NotTakenError", "log_changes", "trial_alert", "webhooks"]

log: Final = logger(__name__)

_SECONDS: Final = 10.0


class NotTakenError(ShadowEvalError):
    """A receiver did not take an alert; `retry_after` is for how many seconds it asked, None: it did not say."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET without its body, and count as taken."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: what is redirected is an error."""


class WebhookNotifier:
    """Posts each alert as JSON: `text` (the table) and the facts. To Slack, and to what ends in `#slack`, `text` alone.

    The headers `webhook-id` and `Idempotency-Key`, and `id` in the body, are the same at each try. Taken is what is
    answered with 2xx. `HTTPS_PROXY` and the like are obeyed, redirects are not followed. No message holds the address.

    Args:
        url: Where to.
        keys: What it is signed with, see `Signer`.

    Raises:
        SettingsError: not such an address.
    """

    def __init__(self, url: str, *, keys: Sequence[str] = ()) -> None:
        if not re.fullmatch(r"https?://[\w.\[\]:%~+-]+(?:[/?][!-~]*)?", url) or not (host := _host(url)):
            scheme = re.match(r"\w{1,8}:", url)
            shown = f"{scheme[0] if scheme else ''}..."  # the rest may be a secret
            why = (
                "give an address that begins with http:// or https://, has a host, and no space, accent, or user and "
                "password before the host in it"
            )
            raise SettingsError("webhook", shown, why=why)
        self._url, self._chat, self._signer = url, wants_chat_form(url), Signer(keys)
        self.signed = bool(keys)
        """Whether a receiver can tell by a signature whose it is."""
        digest = hashlib.sha256(url.encode()).hexdigest()[:8]
        self.receiver: str = f"{host}#{digest}"
        """Its host, and what tells two addresses on one host apart."""
        self._opener = urllib.request.build_opener(_NoRedirect)

    def notify(self, alert: Alert) -> None:
        """Post it.

        Raises:
            NotTakenError: it was not taken.
        """
        headers = {"Content-Type": "application/json", "Idempotency-Key": alert.key, "User-Agent": "shadoweval"}
        body = body_of(alert, chat=self._chat)
        headers |= self._signer.headers(alert.key, body)
        request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")  # noqa: S310 - the scheme was checked
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            with error:
                retry_after = _seconds(error.headers.get("Retry-After", ""))
            redirects = ": it redirects, give the address that it redirects to" if 300 <= error.code < 400 else ""
            raise NotTakenError(f"it answered {error.code}{redirects}", retry_after=retry_after) from None
        except urllib.error.URLError as error:
            reason = error.reason
            why = type(reason).__name__ if isinstance(reason, OSError) else "no connection"
            raise NotTakenError(f"it can't be reached ({why}{_number(reason)})") from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # which may quote what was sent or answered
            raise NotTakenError(f"its answer can't be read ({type(error).__name__}{_number(error)})") from None
        if not 200 <= status < 300:
            raise NotTakenError(f"it answered {status}")


def _host(url: str) -> str | None:
    with contextlib.suppress(ValueError):  # no such host, or no such port
        parts = urlsplit(url)
        return parts.hostname if parts.port != 0 else None
    return None


def _number(error: object) -> str:
    """What the system calls it: a text of the system's, which quotes nothing."""
    said = error.strerror if isinstance(error, OSError) and isinstance(error.errno, int) else None
    return f": {said}" if said else ""


def _seconds(retry_after: str) -> float | None:
    """`Retry-After` as seconds from now: a number of them, or a date (RFC 9110, 10.2.3)."""
    if re.fullmatch(r"\d{1,9}", retry_after.strip()):
        return float(retry_after)
    try:
        at = email.utils.parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)


def trial_alert(experiment: str, receiver: str) -> Alert:
    """What `shadoweval alerts test` sends: an alert like any other, about nothing."""
    now = datetime.now(UTC)
    return Alert(
        key=f"test-{secrets.token_hex(8)}",
        receiver=receiver,
        candidate="",
        decision="test",
        previous="",
        at=now,
        state="owed",
        attempts=1,
        due=now,
        text=f"{experiment}: TEST\n  This is a test of alerts. Nothing has happened.",
    )


def webhooks(experiment: Experiment, more: Sequence[str] = ()) -> list[WebhookNotifier]:
    """One for each address in the settings, and for each of `more`.

    Raises:
        SettingsError: one of them is none.
    """
    settings = experiment.settings
    keys = settings.webhook_secret.split()
    return [WebhookNotifier(url, keys=keys) for url in dict.fromkeys([*settings.webhook.split(), *more])]


def log_changes(evaluation: Evaluation, before: Evaluation | None) -> int:
    """One log line for each decision that changed: a warning for a rollback, else info. Returns how many changed."""
    known, changed = {v.candidate: v for v in (before.verdicts if before else ())}, 0
    for verdict in evaluation.verdicts:
        previous = known.get(verdict.candidate)
        if previous is not None and (previous.decision, previous.why) == (verdict.decision, verdict.why):
            continue
        changed += 1
        level = logging.WARNING if verdict.rolls_back else logging.INFO
        facts = {**facts_of(verdict), "previous": previous.decision if previous else None}
        log.log(level, "verdict changed", extra=facts)
    return changed
