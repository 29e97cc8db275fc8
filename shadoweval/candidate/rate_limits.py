"""Rate limits that a run met: told to the pool, which slows down, and never held against the candidate."""

from __future__ import annotations

import re
from typing import Any, Final

from shadoweval import capture
from shadoweval.candidate.causes import Cause, chain

__all__ = ["limited_by", "rate_limit"]

_TOO_MANY: Final = 429
_LIMITED: Final = re.compile(r"^\w*RateLimit\w*: |\b429\b")
"""Text of a step's error."""
_RATE_LIMIT: Final = Cause(
    "a rate limit (HTTP 429)",
    "SHADOWEVAL_CANDIDATE_X=... in the worker's environment gives candidates a key X with a quota of their own",
)


def rate_limit(error: BaseException | None, recorder: capture.Recorder) -> tuple[bool, float | None]:
    """Whether the run met a rate limit (HTTP status 429), and the server's Retry-After in seconds.

    It is behind the error that ended the run, or behind a step's, after which the candidate went on.
    """
    if error is None and not recorder.log:
        return False, None
    limited, response = (False, None) if error is None else _limit_of(error)
    if limited:
        return True, _retry_after(response)
    return any(row[8] and _LIMITED.search(row[8]) for row in recorder.steps), None


def _limit_of(error: BaseException) -> tuple[bool, Any]:
    """Whether a rate limit is behind an exception, and the response that said so."""
    for part in chain(error):
        facts = vars(part)
        response: Any = facts.get("response", part)
        status = facts.get("status_code", getattr(type(part), "status_code", getattr(response, "status_code", None)))
        if status == _TOO_MANY or type(part).__name__ == "RateLimitError":
            return True, response
    return False, None


def limited_by(error: BaseException) -> Cause | None:
    """A rate limit as the cause of an end: candidates share quotas with others, so it says nothing about this one."""
    return _RATE_LIMIT if _limit_of(error)[0] else None


def _retry_after(response: Any) -> float | None:
    try:
        return float(response.headers["retry-after"])
    except (AttributeError, KeyError, TypeError, ValueError):  # none, or a date
        return None
