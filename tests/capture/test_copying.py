"""Copies are exact or marked, and never references."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from pydantic import BaseModel

from shadoweval import codec
from shadoweval.capture.copying import UNCOPYABLE, argument_data, carried, data_of, encode, packed, uncopyable
from shadoweval.errors import CodecError, TooLargeError

ATOMS = st.one_of(
    st.text(max_size=50), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.booleans(), st.none()
)
ODD = st.one_of(
    ATOMS, st.binary(), st.dates(), st.datetimes(), st.decimals(allow_nan=False), st.uuids(), st.integers(2**64, 2**80)
)
KEYS = st.one_of(st.text(max_size=5), st.integers(0, 9), st.tuples(st.integers()), st.booleans())
VALUES = st.recursive(
    ODD,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.frozensets(st.integers(0, 9)),
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(k, j) and same(v, w) for (k, v), (j, w) in zip(one.items(), other.items(), strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@given(value=VALUES)
def test_what_is_carried_comes_back_with_its_types(value: Any) -> None:
    """The quick check never lets a value through that the encoder would turn into another."""
    if carried(value) and not _too_big(value):
        assert same(codec.thaw(encode(value)), value)


def _too_big(value: Any) -> bool:
    """Integers over 64 bits make the encoder raise; callers go on with `codec.plain`."""
    try:
        encode(value)
    except OverflowError:
        return True
    return False


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2.5, None, True, "x", {"b": []}]}, True),
        ("x" * 2_000_000, False),
        ({"a": "x" * 2_000_000}, False),
        (["x" * 2_000_000], False),
        ([0] * 5000, False),
        ({str(n): n for n in range(5000)}, False),
        ({"a": (1,)}, False),
        ({1: "a"}, False),
        ([b"x"], False),
        ({"a": dt.date(2026, 1, 1)}, False),
    ],
)
def test_only_plain_and_moderate_values_are_carried(value: Any, expected: bool) -> None:
    """Anything else goes the long way."""
    assert carried(value) is expected


@dataclasses.dataclass
class Point:
    """Among arguments."""

    x: int
    inner: tuple[int, ...] = ()


class Text_(str):
    """Among arguments too."""

    __slots__ = ()


class Refusing:
    """Its own code raises whatever it is asked."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __getattribute__(self, name: str) -> Any:
        if name in {"__class__", "__dict__"}:
            return object.__getattribute__(self, name)
        raise RuntimeError(name)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Point(1, (2,)), {"x": 1, "inner": [2]}),
        ({3, 1, 2}, [1, 2, 3]),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=5), str(uuid.UUID(int=5))),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (2**80, 2**80),
        ([2**80], [2**80]),
        ({1: {None: "a"}, (1, 2): "b"}, {"1": {"None": "a"}, "[1, 2]": "b"}),
        (collections.deque([1]), [1]),
        (np.arange(3), [0, 1, 2]),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        (Text_("kind of text"), "kind of text"),
        (object(), {UNCOPYABLE: "builtins.object"}),
        ({"deep": object()}, {"deep": {UNCOPYABLE: "builtins.object"}}),
        ("\ud800", "?"),
        ({"\ud800": ["\ud800"]}, {"?": ["?"]}),
        ("x" * 2_000_000, {UNCOPYABLE: "builtins.str"}),
    ],
)
def test_arguments_are_data(value: Any, data: Any) -> None:
    """What a model would have written; what is no data is named by its type, and the others stay."""
    assert codec.thaw(argument_data({"a": value, "n": 1})) == {"a": data, "n": 1}


def test_an_argument_whose_own_code_raises_costs_only_itself() -> None:
    """It is named by its type."""
    data = codec.data(argument_data({"a": Refusing(1), "b": [Refusing(1)], "n": 1}))
    assert data == {"a": {UNCOPYABLE: f"{__name__}.Refusing"}, "b": [data["a"]], "n": 1}


def test_arguments_that_hold_themselves() -> None:
    """Named by their type."""
    loop: list[Any] = []
    loop.append(loop)
    assert codec.thaw(argument_data({"a": loop})) == {"a": {UNCOPYABLE: "builtins.list"}}


def test_equal_arguments_are_equal_bytes() -> None:
    """Whatever the order of keys and set members."""
    assert argument_data({"a": 1, "b": {"y": 1, "x": {3, 1}}}) == argument_data({"b": {"x": {1, 3}, "y": 1}, "a": 1})


def test_models_become_their_fields() -> None:
    """Pydantic's, with extra fields."""
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        x: int

    raw, too_large = data_of({"answer": "a", "model": Model(x=1, y=2)}, max_bytes=1000)
    assert raw is not None
    assert (msgspec.msgpack.decode(raw), too_large) == ({"answer": "a", "model": {"x": 1, "y": 2}}, False)


def test_marks_are_told_from_data() -> None:
    """A mapping with that one key only."""
    assert uncopyable({UNCOPYABLE: "why"}) == "why"
    assert uncopyable({UNCOPYABLE: "why", "more": 1}) is None
    assert uncopyable("why") is None


class Colour(enum.Enum):
    RED = "red"


class Frozen(msgspec.Struct, frozen=True):
    x: int
    y: list[Any]


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = None


class Model(BaseModel, extra="allow"):
    x: Any
    y: Any = None


OBJECTS = st.one_of(
    st.just(Colour.RED),
    st.builds(Frozen, st.integers(0, 9), st.lists(VALUES, max_size=2)),
    st.builds(Point, VALUES, VALUES),
    st.builds(Model, x=VALUES, y=VALUES, z=VALUES),
    st.builds(ToolMessage, st.text(max_size=9), tool_call_id=st.just("c"), artifact=VALUES),
    st.builds(Document, st.text(max_size=9), metadata=st.dictionaries(st.text(max_size=5), VALUES, max_size=2)),
)


@given(value=st.one_of(VALUES, OBJECTS, st.lists(OBJECTS, max_size=2)), cap=st.sampled_from([0, 40, 1 << 20]))
def test_the_quick_way_writes_what_the_thorough_one_writes(value: Any, cap: int) -> None:
    """A tool's result has the same bytes, or the same reason for being none, whichever way it takes."""

    def outcome_of(write: Callable[[], bytes]) -> Any:
        try:
            return write()
        except CodecError as error:
            return type(error)

    thorough = outcome_of(lambda: encode(codec.plain(value, max_bytes=cap)))
    quick = outcome_of(lambda: packed(value, cap))
    if isinstance(thorough, bytes):
        assert quick == thorough
    else:  # `codec.plain` counts a little more than is written
        assert quick is thorough or (thorough is TooLargeError and len(quick) <= cap)


def test_numpy_numbers_in_what_is_returned_are_numbers() -> None:
    """Scores beside documents, as vector stores give them."""
    raw, too_large = data_of({"scores": [np.float32(0.5), np.int64(3), np.float64(0.25)]}, max_bytes=1000)
    assert raw is not None
    assert not too_large
    assert msgspec.msgpack.decode(raw) == {"scores": [0.5, 3, 0.25]}
    raw, too_large = data_of([np.zeros(3), object()], max_bytes=1000)
    assert raw is not None
    assert not too_large
    assert msgspec.msgpack.decode(raw) == [[0.0, 0.0, 0.0], {UNCOPYABLE: "builtins.object"}]


def test_a_kind_of_number_that_may_be_a_date_is_told_by_its_value() -> None:
    """A datetime64 of nanoseconds is an integer, one of days is no number; whichever was met first."""
    day = {"at": np.datetime64("2020-01-01", "D")}
    before = argument_data(day)
    assert codec.thaw(argument_data({"at": np.datetime64(7, "ns")})) == {"at": 7}
    assert argument_data(day) == before
    assert UNCOPYABLE in codec.thaw(before)["at"]


class Text(BaseModel):
    text: str


@dataclasses.dataclass
class Unset:
    here: int
    missing: int = dataclasses.field(init=False, repr=False)


def test_what_was_never_initialised_costs_only_itself() -> None:
    """A model made by `__new__`, a field that was never set: no fault of the whole call."""
    argument_data({"known": Text(text="a")})
    assert codec.thaw(argument_data({"model": Text.__new__(Text)})) == {"model": {}}
    assert vars(codec.thaw(packed(Unset(1), 1_000))) == {"here": 1}
