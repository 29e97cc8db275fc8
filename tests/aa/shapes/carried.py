"""Pipelines that put a value at a place: what is pickled in their arguments, which both arms rebuild for themselves."""

import contextlib
import dataclasses
import enum
import pickle
from collections.abc import Iterator
from typing import Any

from shadoweval import Hit, Outcome, Scored, ToolCall, Unscored, record_hits, record_model_call, step, tool

PLACES = (
    "argument", "argument's key", "attribute", "attribute's name", "unit", "text", "key",
    "tool's argument", "tool's result", "tool's error", "tool's name", "hit", "all hits", "hit's id", "hit's text",
    "hit's score", "hit's field", "hit's label", "step's name", "step's error", "model's name", "tokens", "cost",
    "seconds", "answer", "value", "chunk", "failure", "failure's notes", "error's class", "said to fail",
    "declared answer", "declared hit", "declared call", "declared value",
    "score", "score's value", "score's reason", "scorer's error", "reference", "judged",
)  # fmt: skip
TEXTS = {"unit", "text", "key", "tool's name", "step's name", "model's name", "attribute's name", "score's reason",
         "reference", "judged"}  # fmt: skip
"""Places that are declared as texts."""


class Colour(enum.Enum):
    RED = "r\ud83d"


@dataclasses.dataclass
class Row:
    cells: Any

    def __post_init__(self) -> None:
        self.made = True


class Rude:
    """A class that raises at all that is asked of its objects."""

    def __init__(self, what: str = "") -> None:
        self.what = what

    def __repr__(self) -> str:
        raise RuntimeError("no repr \ud83d")

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equal")

    def __hash__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        raise RuntimeError("neither")

    def __len__(self) -> int:
        raise RuntimeError("of no length")


class Unpicklable:
    """Can't be copied at all."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("not \ud83d copied")


class OddError(Exception):
    """Its message is any value."""

    def __str__(self) -> Any:
        return self.args[0]


def endless() -> Any:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    return loop


def deep() -> Any:
    value: Any = []
    for _ in range(200):
        value = [value]
    return value


def large() -> str:
    """A megabyte, cut in some places and refused in others."""
    return "large \u202e\0 " * 90_000


def wide() -> Any:
    return {number: [str(number)] for number in range(20_000)}


MADE = {
    "large": large, "wide": wide, "endless": endless, "deep": deep, "object": object, "uncopied": Unpicklable,
    "lambda": lambda: lambda: 1, "rude": Rude, "rude hit": lambda: [Rude()], "class": lambda: Rude,
}  # fmt: skip


def value_of(packed: bytes) -> Any:
    """The value: pickled, or made where no pickle carries it."""
    value = pickle.loads(packed)
    made = type(value) is tuple and len(value) == 2 and type(value[0]) is str and value[0] == "made"
    return MADE[value[1]]() if made else value


@tool(effect="read")
def look(value: Any) -> Any:
    return value


@tool(effect="read")
def give(packed: bytes) -> Any:
    return value_of(packed)


@tool(effect="read")
def fail(packed: bytes) -> Any:
    raise OddError(value_of(packed))


def _failing(packed: bytes) -> None:
    with contextlib.suppress(Exception):  # in a shadow it is another class
        fail(packed)


PUTTING = {
    "tool's argument": lambda value: look(value),
    "tool's name": lambda value: tool(effect="read", name=value)(lambda x: x)(1),
    "hit": lambda value: record_hits([value, {"id": "a"}]),
    "all hits": record_hits,
    "hit's id": lambda value: record_hits([{"id": value, "text": "t"}]),
    "hit's text": lambda value: record_hits([{"id": "a", "text": value}]),
    "hit's score": lambda value: record_hits([{"id": "a", "score": value}]),
    "hit's field": lambda value: record_hits([{"id": "a", "page": value, "metadata": {"source": value}}]),
    "hit's label": lambda value: record_hits([{"label": value}]),
    "step's name": lambda value: step("other", name=value)(lambda: 1)(),
    "model's name": lambda value: record_model_call(value, input_tokens=1),
    "step's error": lambda value: record_model_call("m", error=value),
    "tokens": lambda value: record_model_call("m", input_tokens=value, output_tokens=value),
    "cost": lambda value: record_model_call("m", cost_usd=value),
    "seconds": lambda value: record_model_call("m", duration=value, first_chunk=value, started=value),
}
"""Calls and steps; what they raise of such a value is as much their caller's as anybody's."""
PACKED = {"tool's result": give, "tool's error": _failing}


def _declared(place: str, value: Any) -> Any:
    """What a pipeline may return in our own words."""
    if place == "declared answer":
        return Outcome(answer=value)
    if place == "declared hit":
        return Outcome(answer="a", hits=[Hit(id=value, rank=1, score=value, text=value)])
    if place == "declared call":
        return Outcome(answer="a", tool_calls=[ToolCall(name=value, arguments={"v": value}, result=value, error=value)])
    return Outcome(answer="a", value=value)


def said_to_fail(value: Any) -> Any:
    """An experiment's `failures`."""
    return value["failed"] if type(value) is dict and "failed" in value else None


def scores_of(place: str, value: Any) -> Any:
    """What a scorer gives, or raises."""
    if place == "score":
        return value
    if place == "score's value":
        return {"odd": Scored(value)}
    if place == "score's reason":
        return {"odd": Unscored(value)}
    raise OddError(value)


def _fail(place: str, value: Any) -> None:
    if place == "failure":
        raise OddError(value)
    if place == "error's class":
        raise type(str(value), (Exception,), {})("odd")
    if place == "failure's notes":
        error = ValueError("noted")
        error.__notes__ = [value]
        raise error


def answer(question: str, place: str, packed: bytes, passed: Any = None) -> Any:
    value = value_of(packed)
    if place in PUTTING:
        PUTTING[place](value)
    if place in PACKED:
        PACKED[place](packed)
    _fail(place, value)
    if place.startswith("declared"):
        return _declared(place, value)
    returned = {"answer": value, "value": {"value": value}, "said to fail": {"failed": value}}
    return returned.get(place, f"answered {question}")


def other(question: str, place: str, packed: bytes, passed: Any = None) -> Any:
    """The same question, and none of the value."""
    return f"answered {question}"


def stream(question: str, place: str, packed: bytes, passed: Any = None) -> Iterator[Any]:
    yield "first "
    yield value_of(packed)


def plain_stream(question: str, place: str, packed: bytes, passed: Any = None) -> Iterator[Any]:
    yield f"answered {question}"
