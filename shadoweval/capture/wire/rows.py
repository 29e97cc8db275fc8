"""From what a recorder noted while a run ran to rows in the order of the records' fields.

An entry of the log is one of three: a tool call `("call", name, effect, arguments, result, started, ended)`, perhaps
with `error, answered, index, parent`, and these perhaps with `failed`, when the call began within which it was made,
when its work was handed to tasks and threads, and perhaps what it left beside its result; a step
`(kind, name, started, ended)`; or a step's row as `Step` has
it. Arguments and results are encoded; started and ended are what `time.perf_counter()` gave.
What comes out of msgpack, lists for tuples, is the same log.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.capture.copying import UNCOPYABLE, argument_data
from shadoweval.records.keys import text_identity

__all__ = [
    "CALL", "INDEX", "HitRow", "StepRow", "call_rows", "failed_step", "joined_hits", "plain_step", "shallow_arguments",
    "step_rows", "usage_fields", "usage_row",
]  # fmt: skip

CALL: Final = "call"
Log = Sequence[Sequence[Any]]
# In the order of Hit's fields: id, rank, score, text.
HitRow = tuple[str, int, float | None, str | None]
StepRow = tuple[Any, ...]

_QUICK_CALL, _QUICK_STEP, _FAILED = 7, 4, 11
INDEX, _ERROR, _STARTED, _WITHIN, _HANDED, _BESIDE = 9, 8, 5, 12, 13, 14
_USED: Final = slice(4, 7)
_COST: Final = 6
_TOKENS: Final = 12
_MOST_KINDS: Final = 20
_MOST_TOKENS: Final = 1 << 62
_NO_USAGE: Final = (None, None, None)
_FLOAT: Final = b"\xcb"
_DEEP: Final = 60
_TOO_DEEP: Final = "nested too deeply"
_NO_HEADS: Final = bytes(byte for byte in range(256) if not (0x80 <= byte <= 0x9F or 0xDC <= byte <= 0xDF))
"""None of them begins a list or a mapping of msgpack's."""
_Raw: Final = msgspec.Raw


def call_rows(log: Log, began: float) -> list[tuple[Any, ...]]:
    """Tool calls in the order of `ToolCall`'s fields, arguments and results still encoded."""
    seen: dict[str, list[bytes]] = {}
    rows: list[tuple[Any, ...]] = []
    outer = _outer_calls(log)
    for entry in log:
        if entry[0] == CALL:
            _, name, effect, arguments, result, started, ended = entry[:_QUICK_CALL]
            arguments = shallow_arguments(arguments)
            error, answered = (None, "live") if len(entry) == _QUICK_CALL else entry[7:9]
            before = seen.setdefault(name, [])
            occurrence = 1 + _equal(before, arguments)
            before.append(arguments)
            times = (started - began, ended - started)
            failed = entry[_FAILED] if len(entry) > _FAILED else None
            within = outer.get(len(rows))
            handed = tuple(moment - began for moment in entry[_HANDED]) if len(entry) > _HANDED else ()
            more = () if failed is None and within is None and not handed else (failed, within, handed)
            if len(entry) > _BESIDE:
                more = (failed, within, handed, _Raw(entry[_BESIDE]))
            rows.append((name, _Raw(arguments), _Raw(result), error, effect, answered, occurrence, *times, *more))
    return rows


def shallow_arguments(raw: bytes) -> bytes:
    """A call's arguments, with a mark for those that are nested deeper than is read anywhere."""
    if len(raw.translate(None, _NO_HEADS)) < _DEEP:
        return raw
    arguments = cast("dict[str, Any]", codec.data(raw))
    marked = {name: value if _shallow(value, _DEEP) else {UNCOPYABLE: _TOO_DEEP} for name, value in arguments.items()}
    return raw if marked == arguments else argument_data(marked)


def _shallow(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list | tuple):
        return True
    inner: Any = cast("dict[Any, Any]", value).values() if isinstance(value, dict) else value
    return levels > 0 and all(_shallow(part, levels - 1) for part in inner)


def _outer_calls(log: Log) -> dict[int, int]:
    """Positions, among the calls, of those that were made within another one, and of that one."""
    calls = [entry for entry in log if entry[0] == CALL]
    if not any(len(entry) > _QUICK_CALL for entry in calls):
        return {}
    began: dict[float, int | None] = {}
    for position, entry in enumerate(calls):
        began[entry[_STARTED]] = None if entry[_STARTED] in began else position
    parents = {entry[INDEX]: entry[INDEX + 1] for entry in log if len(entry) > INDEX}
    steps = {entry[INDEX]: position for position, entry in enumerate(calls) if len(entry) > INDEX}
    outer: dict[int, int] = {}
    for position, entry in enumerate(calls):
        within = began.get(entry[_WITHIN]) if len(entry) > _WITHIN else None
        above = entry[INDEX + 1] if len(entry) > INDEX else None
        for _ in parents:
            if within is not None or above is None:
                break
            within, above = steps.get(above), parents.get(above)
        if within is not None and within != position:
            outer[position] = within
    return outer


def step_rows(log: Log, began: float) -> list[StepRow]:
    """Steps in the order of `Step`'s fields. Those that ask for no index get the next ones that nobody has."""
    rows: list[StepRow] = []
    for entry in log:
        if entry[0] == CALL:
            error, _, index, parent = (
                (None, "live", None, None) if len(entry) == _QUICK_CALL else entry[_QUICK_CALL:_FAILED]
            )
            name, started, ended = entry[1], entry[5], entry[6]
            rows.append(_step("tool", name, times=(started - began, ended - started), rest=(error, index, parent)))
        elif len(entry) == _QUICK_STEP:
            kind, name, started, ended = entry
            rows.append(_step(kind, name, times=(started - began, ended - started), rest=(None, None, None)))
        else:
            rows.append(plain_step(entry))
    free = itertools.count(1 + max((row[INDEX] for row in rows if row[INDEX] is not None), default=-1))
    return [row if row[INDEX] is not None else (*row[:INDEX], next(free), *row[INDEX + 1 :]) for row in rows]


def plain_step(row: Sequence[Any]) -> StepRow:
    """A step's row with numbers that records hold; one that is none is unknown, whoever gave it."""
    kind, name, started, duration, tokens_in, tokens_out, cost, first, *rest = row
    times = (_number(started) or 0.0, _number(duration) or 0.0)
    usage = (_number(tokens_in, whole=True), _number(tokens_out, whole=True), _number(cost, low=0.0))
    if len(rest) > _TOKENS - _ERROR:
        *before, kinds, provider = rest
        rest = [*before, _kinds(kinds), provider]
    return (kind, name, *times, *usage, _number(first), *rest)


def _kinds(tokens: Any) -> dict[str, int]:
    """Kinds of tokens that have a number."""
    if not isinstance(tokens, Mapping):
        return {}
    some = itertools.islice(cast("Mapping[Any, Any]", tokens).items(), _MOST_KINDS)
    counts = {kind: _number(count, whole=True) for kind, count in some if isinstance(kind, str)}
    return {kind: count for kind, count in counts.items() if count is not None}


def _number(value: Any, *, low: float = -inf, whole: bool = False) -> Any:
    if value is None or isinstance(value, str | bytes | bytearray):
        return None
    try:
        number = float(value)
        if whole:
            exact = int(value)
            return exact if exact == value and 0 <= exact < _MOST_TOKENS else None
        return number if isfinite(number) and number >= low else None
    except Exception:  # noqa: BLE001 - whatever a class makes of it
        return None


def _step(kind: str, name: str, *, times: tuple[float, float], rest: tuple[Any, ...]) -> StepRow:
    return (kind, name, *times, None, None, None, None, *rest)


def joined_hits(lists: Sequence[Sequence[Sequence[Any]]], most: int) -> list[HitRow]:
    """The hits of all retrievals: first occurrence of each document, ranks from 1.

    A hit is a row as `Hit` has it, or an id, a score and a text in ranked order; no id: `text_identity`.
    """
    if len(lists) == 1:
        return [_hit(row, rank) for rank, row in enumerate(lists[0][:most], 1)]
    merged: dict[str, HitRow] = {}
    for row in itertools.chain.from_iterable(lists):
        hit = _hit(row, 0)
        merged.setdefault(hit[0], hit)
    rows = itertools.islice(merged.values(), most)
    return [(row[0], rank, row[2], row[3]) for rank, row in enumerate(rows, 1)]


def _hit(row: Sequence[Any], rank: int) -> HitRow:
    if len(row) != 3:
        return cast("HitRow", tuple(row))
    identity, score, text = row
    if identity is None:
        identity = text_identity(text)
    return (identity, rank, score, text)


def usage_row(steps: Sequence[StepRow]) -> tuple[int | None, int | None, float | None]:
    """Sums over the model calls: input tokens, output tokens, USD; None where no call calls."""
    calls = [row for row in steps if row[0] == "model" and row[_USED] != _NO_USAGE]
    return (_total(calls, 4), _total(calls, 5), _total(calls, 6)) if calls else _NO_USAGE


def _token_kinds(steps: Sequence[StepRow]) -> dict[str, int]:
    """Sums over the model calls of tokens by kind."""
    sums: dict[str, int] = {}
    for row in steps:
        for kind, count in row[_TOKENS].items() if len(row) > _TOKENS else ():
            sums[kind] = min(sums.get(kind, 0) + count, _MOST_TOKENS - 1)
    return sums


def usage_fields(steps: Sequence[StepRow]) -> tuple[Any, ...]:
    """What model calls used in the order of `Usage`'s fields."""
    kinds = _token_kinds(steps)
    return (*usage_row(steps), None, None, kinds) if kinds else usage_row(steps)


def failed_step(steps: Sequence[StepRow]) -> str:
    """Name of the first step that failed; empty where none did."""
    return next((row[1] for row in steps if row[_ERROR] is not None), "")


def _total(rows: list[StepRow], field: int) -> Any:
    values = [row[field] for row in rows if row[field] is not None]
    return _number(sum(values), whole=field != _COST) if values else None


def _canonical(arguments: bytes) -> str:
    return codec.canonical(cast("Mapping[str, Any]", codec.data(arguments)))


def _equal(before: list[bytes], arguments: bytes) -> int:
    """How many of `before` are the same call, as `codec.canonical` compares.

    Keys are sorted, so bytes tell, but for a float, which may equal an integer.
    """
    if _FLOAT not in arguments and not any(_FLOAT in known for known in before):
        return before.count(arguments)
    return [_canonical(known) for known in before].count(_canonical(arguments))
