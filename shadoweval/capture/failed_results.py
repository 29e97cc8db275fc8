"""Tool calls that failed although nothing was raised: their result says so, or reads as if it did."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final, cast

import msgspec

from shadoweval.capture.entries import Tool
from shadoweval.capture.interception import error_text
from shadoweval.capture.recorder import Recorder
from shadoweval.records import Effect, ToolCall

__all__ = ["Judge", "JudgedTool", "declared", "failure_in", "judged", "lookalike", "read", "shown"]

Judge = Callable[[Any], Any]
"""Given a result, whether it is a failure; a text is the reason."""

declared: Final[dict[str, Judge]] = {}
"""Tool -> what `@tool(failed=...)` said of it, in this process."""

_CLIENT_ERROR, _NO_STATUS = 400, 1_000
_STATUS: Final = ("status_code", "statusCode", "status", "http_status", "httpStatus")
_NONE: Final = frozenset({"none", "null", "no error", "no errors", "ok", "false", "0"})
"""What an `error` says that is none."""
_FIELDS: Final = ("__dataclass_fields__", "__pydantic_fields__", "__attrs_attrs__", "__struct_fields__", "_fields")
"""What classes have whose every field their author chose."""
_LONGEST: Final = 100_000
"""Characters of a text that is looked into for JSON."""
_BEGINNING: Final = 200
"""Characters of a text by which its beginning is told."""
_WORDS_OF_STATUS: Final = (
    "bad request|unauthorized|payment required|forbidden|not found|method not allowed|not acceptable|conflict|gone|"
    "unprocessable|too many requests|internal server error|not implemented|bad gateway|service unavailable|"
    "gateway time-?out|client error|server error"
)
_BEGINS: Final = re.compile(
    r"\W{0,4}(?:fatal |internal |unexpected |tool |api |http |runtime )?(?:error|exception|fatal)\s*[:!\])>]"
    r"|\W{0,4}error\s+(?:executing|invoking|calling|running|while|when|during|fetching|loading|reading|writing|"
    r"connecting|processing|occurred)\b"
    r"|\W{0,4}(?:an|some|unexpected|internal)\s+(?:\w+\s+)?(?:error|exception)\s+(?:occurred|has occurred|was raised)"
    r"|\W{0,4}error\s+(?:code\s*:?\s*)?[45]\d\d\b"
    r"|\W{0,4}http(?:/\d(?:\.\d)?)?\s*(?:error|status)?\s*:?\s*[45]\d\d\b"
    rf"|\W{{0,4}}[45]\d\d:?\s+(?:{_WORDS_OF_STATUS})"
    r"|\W{0,4}[a-z_][\w.]*(?:error|exception)\s*[:(]"
    r"|traceback \(most recent call last\)",
    re.IGNORECASE,
)
"""How texts begin that are errors: those of Python, of agent frameworks, of HTTP."""
_LIKE: Final = re.compile(
    r"\W{0,4}(?:sorry\b|(?:\w+ ){1,2}(?:was |is |has )?(?:not found|failed|timed out|denied|declined|unavailable|"
    r"does not exist)\b"
    r"|(?:errors?\b|exception\b|failed\b|failure\b|unable to\b|could ?n[o'’]?t\b|can ?not\b|can['’]t\b|not found\b|"
    r"no such\b|unauthori[sz]ed\b|forbidden\b|(?:access |permission )?denied\b|invalid\b|timed out\b|time-?out\b|"
    r"too many requests\b|rate limit|service unavailable\b|internal server error\b|bad request\b))",
    re.IGNORECASE,
)
"""How texts begin that may be errors, and may be answers."""
_LIKE_FIELDS: Final = ("error_message", "errorMessage", "error_code", "errorCode", "exception", "errors", "err")
_LIKE_WORDS: Final = frozenset(
    {"fail", "failed", "failure", "denied", "rejected", "unauthorized", "forbidden", "timeout"}
)
_LIKE_STATES: Final = ("status", "state", "outcome", "result")
_INNER: Final = ("result", "data", "response", "body", "output")
_TELLING: Final = frozenset({*_STATUS, "isError", "is_error", "error", "errors", "ok", "success", "content"})
_SUSPICIOUS: Final = frozenset({*_LIKE_FIELDS, *_LIKE_STATES, *_INNER, "code", "content", "structuredContent"})
"""Names of fields without which a mapping needs no closer look, as most results have none."""


def failure_in(result: Any, judge: Judge | None = None) -> str:
    """Why a result is a failure; empty: it is none. Without a `judge` by the default rule (docs/stubs.md)."""
    if judge is None:
        return _by_default(result)
    try:
        verdict = judge(result)
    except Exception as error:  # noqa: BLE001 - a user's function; what it can't take is no success
        return f"failed= raised {error_text(error)}"
    return verdict if isinstance(verdict, str) else "failed= says so" if verdict else ""


def judged(call: ToolCall, judges: Mapping[str, Judge]) -> ToolCall:
    """The call, with whether its result is a failure: by `judges`, else as its record says, else as its tool says.

    Where nobody has said what a failure of its tool is, and the default rule sees none, it stays unjudged.
    """
    judge = judges.get(call.name)
    if call.error is not None or (judge is None and call.failed is not None):
        return call
    judge = judge or declared.get(call.name)
    failed = failure_in(call.result, judge) or ("" if judge is not None else None)
    return call if failed == call.failed else msgspec.structs.replace(call, failed=failed)


def lookalike(call: ToolCall) -> str:
    """Why a call that counts as a success may be a failure that nobody has declared; empty: it looks like none."""
    return "" if call.error is not None or call.failed is not None else _like(call.result)


def read(result: Any) -> Any:
    """A result as a mapping or list where it is JSON text, or content of MCP's or LangChain's that holds some."""
    if isinstance(result, Mapping):
        fields = cast("Mapping[str, Any]", result)
        text, structured = _content(fields.get("content")), fields.get("structuredContent")
        inner = result if text is None else read(text)
        # MCP's SDK puts what is no object under `result`.
        return structured if isinstance(inner, str) and structured and set(structured) != {"result"} else inner
    text = result if isinstance(result, str) else _content(result)
    if text is None or len(text) > _LONGEST or not text.lstrip().startswith(("{", "[")):
        return result if text is None else text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def shown(result: Any) -> str:
    """A result as the text that a model reads."""
    if isinstance(result, Mapping):
        result = _content(cast("Mapping[str, Any]", result).get("content")) or result
    text = result if isinstance(result, str) else _content(result)
    if text is not None:
        return text
    try:
        return json.dumps(result, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return str(result)


def _content(content: Any) -> str | None:
    """The text in a list of content blocks; None: it is none."""
    if not isinstance(content, list) or not content:
        return None
    blocks = cast("list[Any]", content)
    if not all(isinstance(each, Mapping) and "type" in each for each in blocks):
        return None
    return "\n".join(str(each["text"]) for each in blocks if isinstance(each.get("text"), str))


def _by_default(result: Any) -> str:
    if isinstance(result, str):
        return _of_text(result)
    if type(result) is dict or isinstance(result, Mapping):  # asking the type alone is quicker
        return _of_mapping(cast("Mapping[str, Any]", result))
    if isinstance(result, BaseException):
        return type(result).__name__
    if result is None or isinstance(result, int | float | bytes):
        return ""
    if isinstance(result, list | tuple | set | frozenset) and not hasattr(type(result), "_fields"):
        text = _content(result)
        return _of_text(text) if text else ""
    own = any(hasattr(type(result), fields) for fields in _FIELDS)
    return _of_fields(lambda name: getattr(result, name, None), own=own)


def _of_text(text: str) -> str:
    if len(text) <= _LONGEST and text.lstrip().startswith("{"):
        try:
            return _by_default(json.loads(text))
        except (ValueError, RecursionError):
            return ""
    start = text[:_BEGINNING].lstrip()
    beginning = _BEGINS.match(start)
    return f"its text begins with {beginning[0].strip()!r}" if beginning else ""


def _of_mapping(result: Mapping[str, Any]) -> str:
    if _TELLING.isdisjoint(result):
        return ""
    why = _of_fields(result.get)
    if why or "content" not in result:
        return why
    structured, text = result.get("structuredContent"), _content(result["content"])
    if isinstance(structured, Mapping):
        why = _of_fields(cast("Mapping[str, Any]", structured).get)
    return why or (_of_text(text) if text else "")


def _of_fields(get: Callable[[str], Any], *, own: bool = True) -> str:
    """By its fields; `own`: it is a mapping, or of a class, whose every name its author chose."""
    if get("isError") is True or get("is_error") is True:  # MCP's CallToolResult, Anthropic's tool_result
        return "isError"
    if get("status") == "error":  # LangChain's ToolMessage
        return "status 'error'"
    refused = next((f"{name} {status}" for name in _STATUS if _refused(status := get(name))), "")
    if refused or not own:
        return refused
    error = get("error")
    no_error = isinstance(error, float) or (isinstance(error, str) and error.strip().casefold() in _NONE)
    if error and not no_error:  # a fraction is how far off something is
        return "error"
    if get("errors") and get("data") is None and _has_no_data(get):  # GraphQL 2021, section 7.1
        return "errors without data"
    return next((f"{name} is false" for name in ("ok", "success") if get(name) is False), "")


def _has_no_data(get: Callable[[str], Any]) -> bool:
    """Whether there is a `data`, which is empty: what has none is no answer of GraphQL's."""
    fields = getattr(get, "__self__", None)
    return isinstance(fields, Mapping) and "data" in fields


def _refused(status: Any) -> bool:
    """Whether it is an HTTP status from 400: a number, or a text that begins with one."""
    if isinstance(status, str):
        status = int(status[:3]) if re.match(r"[45]\d\d\b", status) else 0
    return type(status) is int and _CLIENT_ERROR <= status < _NO_STATUS


def _like(result: Any) -> str:
    if type(result) is dict and _SUSPICIOUS.isdisjoint(cast("dict[str, Any]", result)):  # as most results are
        return ""
    if isinstance(result, Mapping) and _SUSPICIOUS.isdisjoint(cast("Mapping[str, Any]", result)):
        return ""
    if not isinstance(result, str) or result.lstrip().startswith(("{", "[")):
        result = read(result)
    if isinstance(result, str):
        beginning = _LIKE.match(result[:_BEGINNING].lstrip())
        return f"its text begins with {beginning[0].strip()!r}" if beginning else ""
    return _like_mapping(cast("Mapping[str, Any]", result)) if isinstance(result, Mapping) else ""


def _like_mapping(fields: Mapping[str, Any]) -> str:
    named = next((name for name in _LIKE_FIELDS if fields.get(name)), "")
    if named:
        return f"it has {named!r}"
    for name in _LIKE_STATES:
        word = fields.get(name)
        if isinstance(word, str) and word.strip().casefold() in _LIKE_WORDS:
            return f"its {name} is {word!r}"
    if _refused(fields.get("code")):
        return f"its code is {fields['code']!r}"
    inner = next((fields[name] for name in _INNER if isinstance(fields.get(name), Mapping)), None)
    why = _by_default(inner) if inner is not None else ""
    return f"inside it: {why}" if why else ""


class JudgedTool(Tool):
    """A tool whose results say whether it failed.

    Args:
        name, effect, function: As of `Tool`.
        failed: Given a result, whether it is a failure.
    """

    def __init__(self, name: str, effect: Effect, function: Callable[..., Any], *, failed: Judge) -> None:
        super().__init__(name, effect, function)
        self.failed_by = failed

    def ended(self, recorder: Recorder, arguments: bytes, started: float, result: Any) -> None:  # noqa: PLR0917 - see `Entries`
        """See `Entries`."""
        ended = perf_counter()
        duration = ended - started
        try:
            failed = failure_in(result, self.failed_by)
            recorder.add_call(
                self.name, arguments, result, started=started, duration=duration, effect=self.effect, failed=failed
            )
        except Exception as fault:  # noqa: BLE001 - see `Tool.arguments`
            recorder.fault = fault
        recorder.spent(ended)
