"""Which question a call asked: its text, for people and labels, and its identity, by which calls are the same.

Both are read from the copied inputs by whoever finishes a draft, so that the request path pays nothing for them and no
class of the caller's is asked anything. Identity is what was passed: arguments by name, in canonical form. The text is
looked for by name (`question`, `user_message`, a body's `query`, the last human message of a chat); a call that has no
single one is shown with its arguments instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.codec import extensions as ext
from shadoweval.records.keys import short_hash

__all__ = ["arguments_by_name", "identity_of", "question_of"]

_DEPTH: Final = 8
_LONGEST_SHOWN: Final = 500

_QUESTIONS: Final = (
    *("question", "query", "prompt", "utterance", "message", "msg", "input", "text", "q", "ask", "search", "content"),
    *("messages", "contents", "conversation", "inputs", "request", "body"),
)
"""Last words of names that hold the question, the surest first."""
_NOT_ASKED: Final = frozenset({"system", "developer", "negative", "template", "default", "previous", "last", "context"})
_OPTIONS: Final = frozenset(
    {
        *("id", "ids", "uid", "uuid", "guid", "user", "username", "userid", "tenant", "org", "account"),
        *("customer", "session", "thread", "conversation", "channel", "lang", "language", "locale", "country"),
        *("region", "currency", "model", "mode", "style", "namespace", "collection", "index", "plan", "role"),
        *("timezone", "tz", "format", "key", "token", "version", "config", "configurable", "settings"),
        *("options", "filter", "filters", "k", "limit", "top", "temperature", "headers", "metadata"),
        *("category", "kind", "type", "name", "email", "unit", "method", "path"),
    }
)
"""Last words of names that hold anything but a question."""
_HUMAN: Final = frozenset({"user", "human"})
_ROLES: Final = _HUMAN | {"assistant", "ai", "system", "tool", "function", "developer", "model", "placeholder"}
_WORD: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_LISTED: Final = 12


class _Opaque:
    """A value that is neither text nor made of parts, such as a date or an enum's member; shown as its text."""

    __slots__ = ("text",)

    def __init__(self, text: Any) -> None:
        self.text = text

    def __repr__(self) -> str:
        return str(self.text)


def _opened(value: Any) -> Any:
    """Decoded inputs without extensions: tuples and sets as lists, objects as mappings of their fields."""
    if type(value) is dict:
        return {str(key): _opened(part) for key, part in cast("dict[Any, Any]", value).items()}
    if type(value) is list:
        return [_opened(part) for part in cast("list[Any]", value)]
    return _opened_extension(value) if type(value) is msgspec.msgpack.Ext else value


def _opened_extension(value: msgspec.msgpack.Ext) -> Any:
    code = value.code
    if code in {ext.TEXT, ext.REDUCED, ext.GLOBAL, ext.REFERENCE}:
        data = codec.data_of(value)
        return data if code == ext.TEXT and isinstance(data, str) else _opened_object(data)
    try:
        parts = _opened(ext.decode_raw(value.data))
    except msgspec.DecodeError:
        return _Opaque(f"<{len(bytes(value.data))} bytes>")
    if code == ext.SHARED:
        return parts[1]
    if code == ext.PAIRS:
        return {str(key): part for key, part in parts}
    if code == ext.OBJECT:
        return parts[1] if isinstance(parts[1], dict) else _Opaque(parts[1])
    return parts


def _opened_object(data: Any) -> Any:
    """One that says itself what it is rebuilt from: a kind of mapping or list is that, anything else its text."""
    if isinstance(data, dict):
        fields = cast("dict[Any, Any]", data)
        return {str(key): part for key, part in fields.items()} if codec.CLASS not in fields else _Opaque(data)
    return data if isinstance(data, str | list) else _Opaque(data)


def _decoded(inputs: bytes) -> tuple[Sequence[Any], Mapping[Any, Any]]:
    """Positional and keyword arguments of frozen inputs, extensions inside as they are."""
    whole = msgspec.msgpack.decode(inputs)
    args, kwargs = msgspec.msgpack.decode(whole.data)
    return (msgspec.msgpack.decode(args.data) if type(args) is msgspec.msgpack.Ext else args), kwargs


def arguments_by_name(inputs: bytes, names: Sequence[str]) -> dict[str, Any]:
    """The arguments of frozen inputs, the positional ones by `names`, and by their place where there are more.

    Raises:
        msgspec.DecodeError, ValueError, TypeError, AttributeError: no frozen inputs.
    """
    args, kwargs = _decoded(inputs)
    positional = {names[place] if place < len(names) else str(place): value for place, value in enumerate(args)}
    return {**positional, **{str(name): value for name, value in kwargs.items()}}


def identity_of(arguments: Mapping[str, Any]) -> str:
    """Equal exactly where the arguments are, whatever the order of keys, sets and keywords; 10 equals 10.0."""
    return short_hash(_canonical(arguments).encode())


def _canonical(value: Any) -> str:
    return json.dumps(_canon(value), sort_keys=True, separators=(",", ":"), default=repr)


def _canon(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        mapping = cast("dict[Any, Any]", value)
        if "id" in mapping and _message(mapping) is not None:  # frameworks give messages a new one each time
            mapping = {key: part for key, part in mapping.items() if key != "id"}
        return {key if type(key) is str else f"\0{key!r}": _canon(part) for key, part in mapping.items()}
    if kind is list:
        return [_canon(part) for part in value]
    if kind is float:
        return int(value) if value.is_integer() else value
    return _canonical_extension(value) if kind is msgspec.msgpack.Ext else value


def _canonical_extension(value: msgspec.msgpack.Ext) -> dict[str, Any]:
    try:
        parts = _canon(msgspec.msgpack.decode(value.data))
    except msgspec.DecodeError:
        return {"\0": value.code, "bytes": bytes(value.data).hex()}
    if value.code in {ext.SET, ext.FROZENSET}:  # in whatever order it came out
        parts = sorted(map(_canonical, parts))
    elif value.code == ext.PAIRS:
        parts = sorted(_canonical(pair) for pair in parts)
    return {"\0": value.code, "parts": parts}


def question_of(arguments: Mapping[str, Any]) -> str:
    """The question as a person would read it, or the arguments themselves: `weight=3, country='DE'`."""
    named = cast("dict[str, Any]", _opened(dict(arguments)))
    text = _asked(named, sole=True, depth=0)
    return text if text is not None and text.strip() else _arguments_shown(named)


def _arguments_shown(named: Mapping[str, Any]) -> str:
    import reprlib  # noqa: PLC0415 - the request path needs no text

    several = reprlib.Repr()
    several.maxlist = several.maxdict = _LISTED
    several.maxstring = several.maxother = several.maxlong = 120
    parts = ((name, several.repr(value)) for name, value in named.items())
    return ", ".join(shown if name.isdecimal() else f"{name}={shown}" for name, shown in parts)[:_LONGEST_SHOWN]


def _asked(named: Mapping[str, Any], *, sole: bool, depth: int) -> str | None:
    """`sole`: there is nothing beside them, so that a text under any name may be the question."""
    if depth > _DEPTH:
        return None
    by_name = sorted((rank, name) for name in named if (rank := _rank(name)) is not None)
    others = [name for name in named if not isinstance(named[name], str) and not _is_option(name)]
    for name in (*(name for _, name in by_name), *others):
        alone = sole and all(other == name or _is_option(other) for other in named)
        text = _text_of(named[name], sole=alone, depth=depth + 1)
        if text is not None and text.strip():
            return text
    rest = [value for name, value in named.items() if not _is_option(name)] if sole else []
    if not rest and len(named) == 1:
        rest = list(named.values()) if sole else []
    texts = [value for value in rest if isinstance(value, str)]
    return texts[0] if len(texts) == 1 and rest[0] is texts[0] else None


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _rank(name: str) -> int | None:
    """How surely a name holds the question, best first; None: nothing says so."""
    words = _words(name)
    if not words or words[-1] not in _QUESTIONS or not _NOT_ASKED.isdisjoint(words):
        return None
    return 2 * _QUESTIONS.index(words[-1]) + (len(words) > 1)


def _is_option(name: str) -> bool:
    words = _words(name)
    return bool(words) and words[-1] in _OPTIONS


def _text_of(value: Any, *, sole: bool = False, depth: int = 0) -> str | None:
    """The question in one argument: a text, a chat, a message, a body."""
    if isinstance(value, str):
        return _in_json(value, depth) if value[:1] == "{" and value[-1:] == "}" else value
    if isinstance(value, list):
        message = _message(value)
        return message[1] if message is not None else _in_chat(cast("list[Any]", value), depth)
    if not isinstance(value, Mapping):
        return None
    fields = cast("Mapping[str, Any]", value)
    message = _message(fields)
    return message[1] if message is not None else _asked(fields, sole=sole, depth=depth)


def _in_json(text: str, depth: int) -> str:
    """A body that nobody has decoded yet."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _asked(fields, sole=True, depth=depth) or text


def _in_chat(items: list[Any], depth: int) -> str | None:
    """The last human message's text, else the last message's; the only text of a list of one."""
    if len(items) == 1 and isinstance(items[0], str | list) and depth <= _DEPTH:
        return _text_of(items[0], depth=depth + 1)
    messages = [message for item in items if (message := _message(item)) is not None and message[1].strip()]
    human = [text for role, text in messages if role in _HUMAN]
    return (human or [text for _, text in messages] or [None])[-1]


def _message(item: Any) -> tuple[str, str] | None:
    """Role and text of a chat's message in any library's form; None: it is none, or has no text."""
    if isinstance(item, list):
        pair = cast("list[Any]", item)
        known = len(pair) == 2 and isinstance(pair[0], str) and pair[0] in _ROLES
        text = _content(pair[1]) if known else None
        return None if text is None else (pair[0], text)
    if not isinstance(item, Mapping):
        return None
    fields = cast("Mapping[str, Any]", item)
    role = fields.get("role") or fields.get("type")
    if isinstance(role, _Opaque):
        role = role.text
    if not isinstance(role, str) or (role not in _ROLES and role != "message"):
        return None
    inner = fields.get("data")
    parts = next((fields[name] for name in ("content", "parts", "text") if fields.get(name) is not None), inner)
    if isinstance(parts, Mapping):
        parts = cast("Mapping[str, Any]", parts).get("content")
    text = _content(parts)
    return None if text is None else (str(role), text)


def _content(content: Any) -> str | None:
    """A message's text: as it is, or its parts' joined."""
    if isinstance(content, str):
        return content
    texts = _texts(cast("Iterable[Any]", content)) if isinstance(content, list) else []
    return "".join(texts) if texts else None


def _texts(parts: Iterable[Any]) -> list[str]:
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            fields = cast("Mapping[str, Any]", part)
            text = fields.get("text")
            if isinstance(text, str) and fields.get("type") in (None, "text", "input_text"):
                texts.append(text)
    return texts
