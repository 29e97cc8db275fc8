"""What `failed=` may be beside a function: a path into the result, values at paths, a pattern of its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias, cast

import msgspec

from shadoweval.capture.failed_results import Judge, failure_in, read, shown
from shadoweval.checks import checked_function
from shadoweval.errors import ArgumentError

__all__ = ["Saying", "checked_judge", "named"]

Saying: TypeAlias = "Judge | str | re.Pattern[str] | Mapping[str, Any]"
"""How a user says what a failure is, as `checked_judge` reads it."""

_STEP: Final = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<at>-?\d+|\*)\]|\[(?P<quote>['\"])(?P<key>.*?)(?P=quote)\]")
_MEND: Final = (
    "Write a function of the result, a path such as '$.error', values such as {'$.state': ['declined']}, or a pattern "
    "of its text such as re.compile('^DECLINED')."
)


class FailureRule(msgspec.Struct, frozen=True):
    """A judge made of what a user wrote; it travels to other processes. Made by `checked_judge`."""

    pattern: str = ""
    flags: int = 0
    paths: dict[str, tuple[Any, ...] | None] = {}
    """Path -> values that are failures; None: whatever is there and not empty."""

    def __call__(self, result: Any) -> str:
        """Why the result is a failure, by what was written or by the rule of common forms; empty: it is none."""
        return self._said(result) or failure_in(result)

    def _said(self, result: Any) -> str:
        if self.pattern:
            found = re.search(self.pattern, shown(result), self.flags)
            return f"its text has {found[0]!r:.100}" if found else ""
        data = read(result)
        for path, values in self.paths.items():
            for value in _at(data, path):
                if bool(value) if values is None else any(_same(value, each) for each in values):
                    return f"{path} is {value!r:.100}"
        return ""


def _same(value: Any, other: Any) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _at(data: Any, path: str) -> Iterator[Any]:
    """What stands at a path: `$`, then names (`.name`, `['name']`), numbers (`[0]`) and `[*]`, all of a list."""
    values = [data]
    for step in _STEP.finditer(path, 1):
        name, at = step["name"] or step["key"], step["at"]
        values = [inner for value in values for inner in _inside(value, name, at)]
    yield from values


def _inside(value: Any, name: str | None, at: str | None) -> Iterator[Any]:
    if name is not None:
        if isinstance(value, Mapping):
            fields = cast("Mapping[str, Any]", value)
            yield from (fields[name],) if name in fields else ()
        elif hasattr(value, name):  # an object, where it was returned
            yield getattr(value, name)
    elif isinstance(value, list | tuple):
        parts = cast("list[Any]", value)
        yield from parts if at == "*" else parts[int(at or 0) :][:1]


def checked_judge(what: str, said: Saying) -> Judge:
    """A function of a result that says whether it is a failure.

    Raises:
        ArgumentError: neither a function nor a path, values at paths or a pattern; or a path or pattern that is none.
    """
    if isinstance(said, FailureRule):
        return said
    if isinstance(said, re.Pattern):
        if not isinstance(cast("Any", said.pattern), str):
            raise ArgumentError(what, said, expected="a pattern of texts, not of bytes", mend=_MEND)
        return FailureRule(said.pattern, said.flags & ~re.UNICODE)
    if isinstance(said, str):
        return FailureRule(paths={_path(what, said): None})
    if isinstance(said, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - users'
        if not said:
            raise ArgumentError(what, said, expected="at least one path", mend=_MEND)
        return FailureRule(paths={_path(what, path): _values(value) for path, value in said.items()})
    return checked_function(what, said)


def _values(value: Any) -> tuple[Any, ...]:
    return tuple(cast("list[Any]", value)) if isinstance(value, list | tuple | set | frozenset) else (value,)


def _path(what: str, path: Any) -> str:
    whole = isinstance(path, str) and path.startswith("$") and len(path) > 1
    if not whole or "".join(step[0] for step in _STEP.finditer(path, 1)) != path[1:]:
        raise ArgumentError(what, path, expected="a path such as '$.error' or '$.items[*].state'", mend=_MEND)
    return path


def named(judge: Callable[..., Any]) -> str:
    """What tells two judges apart, in every process."""
    return repr(judge) if isinstance(judge, FailureRule) else getattr(judge, "__qualname__", "")
