"""What the record of a tool call that raised has as its result, so that a shadow's call raises the same exception."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.capture.beside import RAISED
from shadoweval.capture.interception import error_text, interruption, named_error
from shadoweval.codec.extensions import OBJECT, REDUCED
from shadoweval.errors import ShadowEvalError

__all__ = ["CREDENTIALS", "chain_of", "chained", "raised"]

CREDENTIALS: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "x-auth-token"}
)
"""Headers that let their bearer in; an HTTP client's exceptions hold the request with all of them."""

_CAUSE, _CONTEXT, _SUPPRESSED, _NOTES = "cause", "context", "suppressed", "notes"
_MOST_LINKS: Final = 8
_LARGEST: Final = 1 << 16
"""Bytes of an exception that is kept; some hold a response of megabytes."""
_HIDDEN: Final = "[REDACTED]"
_Ext: Final = msgspec.msgpack.Ext
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode
_Walk = Callable[[Any], Any]


def raised(error: BaseException | None) -> Any:
    """What a call that raised `error` asked of a person, or the exception itself, encoded and without credentials.

    None where the text of the error is all that there is to the exception, and where it can't be copied: by the text
    it is raised again as well as can be (`interception.answered_result`).
    """
    asked = interruption(error)
    if asked is not None:
        return asked[0]
    if not isinstance(error, Exception | SystemExit | BaseExceptionGroup) or isinstance(error, ShadowEvalError):
        return None
    try:
        if named_error("", error_text(error)).__reduce__() == error.__reduce__():
            return None
        frozen = codec.freeze(error, max_bytes=_LARGEST)
    except Exception:  # noqa: BLE001 - its class's own code
        return None
    if any(name.encode() in frozen.lower() for name in CREDENTIALS):
        frozen = _encode(_without_credentials(_decode(frozen)))
    return msgspec.Raw(frozen)


def chain_of(error: BaseException | None) -> dict[str, Any]:
    """What an exception was raised from, and its notes, as `beside.RAISED`; empty: there is nothing of the kind."""
    links = {} if error is None or isinstance(error, ShadowEvalError) else _links(error, [])
    return {RAISED: links} if links else {}


def _links(error: BaseException, below: list[int]) -> dict[str, Any]:
    links: dict[str, Any] = {}
    below = [*below, id(error)]
    for name, other in ((_CAUSE, error.__cause__), (_CONTEXT, error.__context__)):
        if other is not None and id(other) not in below and len(below) < _MOST_LINKS:
            if name == _CONTEXT and other is error.__cause__:
                links[name] = None  # the same one
            else:
                result = raised(other)
                frozen = _decode(result) if isinstance(result, msgspec.Raw) else None
                links[name] = [error_text(other), frozen, _links(other, below)]
    if error.__suppress_context__:
        links[_SUPPRESSED] = True
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list) and notes:
        links[_NOTES] = [str(note) for note in cast("list[Any]", notes)]
    return links


def chained(error: BaseException, beside: Mapping[str, Any]) -> None:
    """Give an exception that is raised again what the recorded one was raised from."""
    links = beside.get(RAISED)
    if links is None:
        return
    for name, link in links.items():
        if name == _NOTES:
            error.__notes__ = list(link)
        elif name == _CAUSE:
            error.__cause__ = _again(link)
        elif name == _CONTEXT:
            error.__context__ = error.__cause__ if link is None else _again(link)
    error.__suppress_context__ = bool(links.get(_SUPPRESSED))


def _again(link: Sequence[Any]) -> BaseException:
    text, result, links = link
    error = result if isinstance(result, BaseException) else named_error("", text)
    chained(error, {RAISED: links})
    return error


def _without_credentials(part: Any) -> Any:
    if type(part) is dict:
        return {
            key: _hidden(value) if _is_credential(key) else _without_credentials(value)
            for key, value in cast("dict[Any, Any]", part).items()
        }
    if type(part) is list and len(cast("list[Any]", part)) > 1 and _is_credential(part[0]):
        return [*part[:-1], _hidden(part[-1])]  # a header: its name, perhaps once more, and its value
    return _inside(part, _without_credentials)


def _hidden(part: Any) -> Any:
    if isinstance(part, str | bytes):
        return _HIDDEN if isinstance(part, str) else _HIDDEN.encode()
    if type(part) is dict:
        return {key: _hidden(value) for key, value in cast("dict[Any, Any]", part).items()}
    return _inside(part, _hidden)


def _inside(part: Any, walk: _Walk) -> Any:
    if type(part) is list:
        return [walk(inner) for inner in cast("list[Any]", part)]
    if type(part) is not _Ext:
        return part
    content = _decode(part.data)
    if walk is _hidden and type(content) is list and (part.code in {OBJECT, REDUCED} or _is_credential(content[0])):
        content = [content[0], *map(walk, cast("list[Any]", content)[1:])]  # the first names a class, or the header
        return _Ext(part.code, _encode(content))
    return _Ext(part.code, _encode(walk(content)))


def _is_credential(name: Any) -> bool:
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    return isinstance(text, str) and text.lower() in CREDENTIALS
