"""Values of every kind at every place: arguments, results of tools, answers, chunks, hits, attributes, errors."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import pathlib
import re
import uuid
import zoneinfo
from typing import NamedTuple

import msgspec
import numpy as np
import pandas as pd
from aa_rows import add, call
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel, PrivateAttr

from shadoweval import tool

HALF = "Nice \ud83d"


class Colour(enum.Enum):
    RED = "red"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Place(NamedTuple):
    town: str
    zip: int


class Text(str):
    __slots__ = ()


class Rows(list):
    pass


@dataclasses.dataclass
class Derived:
    phrase: str

    def __post_init__(self):
        self.words = self.phrase.split()


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    id: str
    part: int = 0


class Ordinary:
    def __init__(self, name):
        self.name, self.seen = name, {"a": [1]}

    def __repr__(self):
        return f"Ordinary({vars(self)})"


class Pickled:
    def __init__(self, x):
        self.x, self.made = x, "by its constructor"

    def __getstate__(self):
        return {"x": self.x}

    def __setstate__(self, state):
        self.x, self.made = state["x"], "out of its state"

    def __repr__(self):
        return f"Pickled({self.x})"


class Order(BaseModel):
    id: str
    cents: int = 500
    _seen: list = PrivateAttr(default_factory=list)


class Packed(msgspec.Struct):
    id: str
    tags: tuple = ()


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(code, text)
        self.code = code


class Unlike:
    """Its copy is another one."""

    def __init__(self, x):
        self.x = x

    def __reduce__(self):
        return Unlike, (self.x + 1,)


def looping():
    loop = {"name": "loop"}
    loop["self"] = loop
    return loop


def shared():
    row = [1]
    return [row, row, {"row": row}]


VALUES = {
    "integer": 10**30,
    "long": 10**2000,
    "infinite": [float("inf"), float("nan")],
    "half": HALF,
    "halves": {HALF: [HALF]},
    "nul": "a\0b",
    "complex": 1 - 0j,
    "tuple": (1, (2, [3])),
    "set": {3, 1, 2},
    "frozen": frozenset({(1, 2)}),
    "keys": {1: "a", None: "b", (1, 2): "c", Key("k"): "d"},
    "decimal": decimal.Decimal("1.50"),
    "uuid": uuid.UUID(int=5),
    "date": dt.date(2026, 1, 2),
    "zoned": dt.datetime(2026, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    "fold": dt.datetime(2026, 10, 25, 2, 30, fold=1),  # noqa: DTZ001 - a naive one
    "delta": dt.timedelta(days=1, seconds=2),
    "enum": Colour.RED,
    "flag": Right.READ | Right.WRITE,
    "named": Place("Oslo", 150),
    "text": Text("kind of text"),
    "rows": Rows([1, 2]),
    "derived": Derived("a b"),
    "key": Key("k", 2),
    "ordinary": Ordinary("o"),
    "pickled": Pickled(3),
    "model": Order(id="o-1"),
    "struct": Packed("p", (1, 2)),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "ordered": collections.OrderedDict(b=1, a=2),
    "counter": collections.Counter("aab"),
    "deque": collections.deque([1, 2], 3),
    "path": pathlib.PurePosixPath("a/b"),
    "range": range(1, 9, 2),
    "fraction": fractions.Fraction(1, 3),
    "address": ipaddress.ip_address("10.0.0.1"),
    "pattern": re.compile("a+", re.IGNORECASE),
    "error": ValueError("no such order"),
    "numpy": [np.float32(0.5), np.int64(3)],
    "array": np.arange(6).reshape(2, 3),
    "frame": pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
    "message": AIMessage("x", tool_calls=[{"name": "t", "args": {"a": 1}, "id": "1"}]),
    "document": Document("text", id="d1", metadata={"k": 1}),
    "history": [HumanMessage("a"), AIMessage("b")],
    "class": Order,
    "function": looping,
    "shared": shared(),
}


def said(value):
    """What a pipeline could tell of it: what it is, what it holds, what lies in it twice."""
    parts = vars(value) if hasattr(value, "__dict__") and not isinstance(value, type | pd.DataFrame) else ()
    twice = value[0] is value[1] if isinstance(value, list) and len(value) > 1 else None
    fields = sorted(value.model_fields_set) if isinstance(value, BaseModel) else None
    shown = "an integer" if isinstance(value, int) else getattr(value, "__name__", None) or repr(value)
    return f"{type(value).__name__} {shown} {sorted(parts)} {twice} {fields}"


def argument(value):
    return said(value)


def inside(question, *, context):
    return f"{question} {said(context['deep'][0][1])}"


@tool(effect="read")
def look(name):
    return VALUES[name]


@tool(effect="read")
def told(name, value):
    return f"{name} it is"


def result(name):
    return said(look(name))


def passed(name):
    return told(name, VALUES[name]) + told(name, [VALUES[name]])


def returned(name):
    return VALUES[name]


def streamed(name):
    yield VALUES[name]
    yield {"part": VALUES[name]}


def refused(value):
    return repr(type(value))


ALL = [call(value) for value in VALUES.values()]
NAMES = [call(name) for name in VALUES]
add(__name__, "argument", argument, *ALL)
add(__name__, "inside", inside, *(call("q", context={"deep": [("a", value)]}) for value in VALUES.values()))
add(__name__, "result", result, *NAMES)
add(__name__, "passed", passed, *NAMES)
add(__name__, "returned", returned, *NAMES)
add(__name__, "streamed", streamed, *NAMES)
add(__name__, "refused", refused, *map(call, (object(), iter([1]), lambda: 1, Unlike(1))), uncopyable=True)
