"""How production calls its pipelines: kinds of arguments, signatures and callables."""

import datetime as dt
import decimal
import enum
import functools
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aa_rows import add, call, shape
from pydantic import BaseModel


class Tone(enum.Enum):
    DRY = "dry"


class Place(NamedTuple):
    town: str
    zip: int


@dataclass
class Search:
    phrase: str
    limit: int = 3


@dataclass
class Derived:
    phrase: str

    def __post_init__(self):
        self.words = self.phrase.split()


class Ask(BaseModel):
    question: str
    lang: str | None = None


@shape(call("How?"), call("Why?"))
def plain(question):
    return f"because of {question}"


@shape(call("u-1", "How?"), call(user_id="u-1", question="Why?"))
def with_a_user(user_id, question):
    return f"{user_id}: {question}"


@shape(call(3.5, country="DE"), call(weight=3.5, country="DE"))
def without_a_question(weight, *, country):
    return f"{weight} to {country}"


@shape(call(), call())
def without_arguments():
    return "hello"


@shape(call("a", "b", "c"), call())
def variadic(*texts, **options):
    return f"{len(texts)} {sorted(options)}"


@shape(call("How?", 1, rest={"a": [1, (2, 3), {4}]}))
def by_place_only(question, number, /, **rest):
    return f"{question} {number} {rest['rest']['a'][1]!r} {type(rest['rest']['a'][2]).__name__}"


@shape(call(Ask(question="How?")), call(Ask(question="Why?", lang="de")))
def pydantic_body(body):
    return f"{body.question} {body.lang}"


@shape(call(Search("a b")))
def dataclass_body(search):
    return f"{search.phrase} {search.limit} {type(search).__name__}"


@shape(call({"messages": [{"role": "user", "content": "How?"}]}))
def chat(state):
    return state["messages"][-1]["content"]


@shape(
    call(dt.datetime(2026, 1, 2, tzinfo=dt.UTC)),
    call(dt.date(2026, 1, 2)),
    call(decimal.Decimal("1.10")),
    call(uuid.UUID(int=7)),
    call(Tone.DRY),
    call(b"\x00\xff"),
    call((1, (2, 3))),
    call({1: "a", (2, 3): "b"}),
    call(frozenset({1})),
    call(float("nan")),
    call(2 + 3j),
    call(None),
)
def any_value(value):
    return f"{type(value).__name__} {value!r}"


@shape(
    call(Place("Kiel", 24103)),
    call(OrderedDict(a=1)),
    call(Counter("aab")),
    call(defaultdict(list, a=[1])),
    call(deque([1, 2], maxlen=3)),
    call(dt.timedelta(hours=1)),
    call(Path("a/b")),
    call(range(3)),
    call(1 << 70),
)
def any_plain_value(value):
    return f"{type(value).__name__} {value!r}"


@shape(call(Ask(question="How?")))
def unset_field(body):
    return f"{sorted(body.model_fields_set)}"


@shape(call(Derived("a b")))
def derived_field(search):
    return f"{search.words}"


@shape(call("How? \ud83d"))
def half_a_character(question):
    return question


@shape(call("How?"))
async def awaited(question):
    return f"because of {question}"


class Bot:
    """An object that is called."""

    def __call__(self, question):
        return f"bot says {question}"


bot = Bot()
add(__name__, "bot", bot)

partial = functools.partial(with_a_user, "u-9")
add(__name__, "partial", partial)
