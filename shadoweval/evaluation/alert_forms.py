"""What an alert looks like on its way: JSON with all facts, or the form of chat systems; and its signature.

Signatures are those of the Standard Webhooks specification (https://www.standardwebhooks.com), which many libraries
check: headers `webhook-id`, `webhook-timestamp` (seconds since 1970) and `webhook-signature`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from shadoweval._optional import require
from shadoweval.errors import SettingsError
from shadoweval.protocols import Alert
from shadoweval.records import Verdict

__all__ = ["Signer", "body_of", "facts_of", "wants_chat_form"]

_CHAT_HOSTS: Final = ("hooks.slack.com", "hooks.slack-gov.com")
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?")
_MOST: Final = 3_000
"""Characters of a table in a chat: Slack cuts a message at 4,000 and more."""


def wants_chat_form(url: str) -> bool:
    """Slack's addresses, and those that end with `#slack` (Mattermost, Rocket.Chat and others take the same form)."""
    parts = urlsplit(url)
    return parts.fragment == "slack" or parts.hostname in _CHAT_HOSTS


def body_of(alert: Alert, *, chat: bool) -> bytes:
    """The alert as it is posted: `text` for people, and beside it, where it is no chat, the facts."""
    if not chat:
        known: dict[str, object] = {"id": alert.key, "candidate": alert.candidate, "decision": alert.decision}
        since = {"previous": alert.previous or None, "at": alert.at.isoformat(timespec="seconds")}
        facts = {} if alert.verdict is None else facts_of(alert.verdict)
        return json.dumps({"text": _table(alert), **known, **since, **facts}).encode()
    head, _, rest = _table(alert).partition("\n")
    rest = rest if len(rest) <= _MOST else f"{rest[:_MOST]}\n..."
    # No text of ours holds ```; in a user's it would end the block, and what follows be read as markup.
    table = f"\n```{_escaped(rest).replace('```', chr(39) * 3)}```" if rest.strip() else ""
    return json.dumps({"text": f"*{_escaped(head).replace('*', '')}*{table}"}).encode()


def _table(alert: Alert) -> str:
    if alert.verdict is not None:
        return str(alert.verdict)
    return alert.text or f"{alert.candidate}: {alert.decision.upper()}"  # its record is damaged


def _escaped(text: str) -> str:
    """So that nothing in a user's text is a link or calls a channel (`<!channel>`)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def facts_of(verdict: Verdict) -> dict[str, object]:
    """What programs ask of a verdict."""
    return {
        "experiment": verdict.experiment,
        "candidate": verdict.candidate,
        "decision": verdict.decision,
        "reasons": list(verdict.reasons),
        "pairs": verdict.pairs,
        "live_writes": verdict.live_writes_text,
    }


class Signer:
    """Signs what is posted, with each of `secrets`: while one takes the place of another, receivers know either.

    Raises:
        SettingsError: a secret that is none; it is not repeated.
        MissingExtraError: the extra `store` is not installed.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._hooks: list[Any] = []
        if not secrets:
            return
        library: Any = require("standardwebhooks", extra="store", needed_for="A signature of alerts")
        for secret in secrets:
            key = secret.removeprefix("whsec_")
            if key == secret or not _BASE64.fullmatch(key):  # the library would sign with a key of whatever it can read
                why = "write whsec_ and the base64 of 24 to 64 random bytes, as `openssl rand -base64 32` makes it"
                raise SettingsError("webhook_secret", "...", why=why)
            self._hooks.append(library.Webhook(secret))

    def headers(self, key: str, body: bytes, *, now: datetime | None = None) -> dict[str, str]:
        """Id, time and signature of this try; the id stays the same at the next one."""
        at = datetime.now(UTC) if now is None else now
        headers = {"webhook-id": key, "webhook-timestamp": str(int(at.timestamp()))}
        if self._hooks:
            signed = (hook.sign(msg_id=key, timestamp=at, data=body.decode()) for hook in self._hooks)
            headers["webhook-signature"] = " ".join(signed)
        return headers
