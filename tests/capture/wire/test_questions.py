"""The question of a call, and what the call is known by, as whoever reads the record sees them."""

import datetime as dt
import enum
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, messages_to_dict
from langchain_core.prompt_values import ChatPromptValue
from pydantic import BaseModel

from shadoweval import codec
from shadoweval.mirror import Mirror
from shadoweval.records import Query
from shadoweval.testing import MemoryTransport


class Ask(BaseModel):
    question: str
    lang: str | None = None


class Body(BaseModel):
    q: str
    top_k: int = 5


class Nested(BaseModel):
    body: Body
    user_id: str = "u-1"


@dataclass
class Prompted:
    prompt: str
    user: str = "u-1"
    tags: list[str] = field(default_factory=lambda: ["a", "b"])


class Packed(msgspec.Struct):
    message: str
    session_id: str = "s"


class Country(enum.Enum):
    DE = "de"


class Bot:
    def answer(self, session_id: str, question: str) -> str:
        return f"{session_id} {question}"


PARTS = [{"type": "text", "text": "How?"}, {"type": "image_url", "image_url": {"url": "u"}}]
CHAT = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "How?"}]


def queries(function: Any, *calls: tuple[tuple[Any, ...], dict[str, Any]], **options: Any) -> list[Query]:
    transport = MemoryTransport()
    mirrored = Mirror("support", transport, control=0.0, **options)(function)
    for args, kwargs in calls:
        mirrored(*args, **kwargs)
    return [codec.decode_envelope(frame).query for frame in transport.frames]


def asked(function: Any, *args: Any, **kwargs: Any) -> str:
    (query,) = queries(function, (args, kwargs))
    return query.text


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (lambda q: q, ("How?",), {}),
        (lambda anything: anything, ("How?",), {}),
        (lambda user_id, question: question, ("u-1", "How?"), {}),
        (lambda user_id, question: question, (), {"user_id": "u-1", "question": "How?"}),
        (lambda tenant, session, msg: msg, ("t", "s", "How?"), {}),
        (lambda question, context: question, ("How?", "long context"), {}),
        (lambda context, question: question, ("long context", "How?"), {}),
        (lambda message, history: message, ("How?", [["before", "answer"]]), {}),
        (lambda system_prompt, user_prompt: user_prompt, ("be kind", "How?"), {}),
        (lambda customerMessage, lang: lang, ("How?", "en"), {}),
        (lambda search_query, *, top_k: top_k, ("How?",), {"top_k": 3}),
        (lambda text, lang: text, ("How?", "en"), {}),
        (lambda x, k: x, ("How?", 3), {}),
        (lambda config, query: query, ({"configurable": {"thread_id": "t"}}, "How?"), {}),
        (lambda body: body, (Ask(question="How?", lang="en"),), {}),
        (lambda body: body, (Body(q="How?"),), {}),
        (lambda request: request, (Nested(body=Body(q="How?")),), {}),
        (lambda payload: payload, (Prompted("How?"),), {}),
        (lambda payload: payload, (Packed("How?"),), {}),
        (lambda user, body: body, ("u-1", Ask(question="How?")), {}),
        (lambda state: state, ({"question": "How?", "context": "c"},), {}),
        (lambda state: state, ({"input": "How?", "chat_history": CHAT},), {}),
        (lambda state: state, ({"messages": [("system", "be kind"), ("user", "How?")]},), {}),
        (lambda messages: messages, (CHAT,), {}),
        (lambda messages: messages, ([*CHAT, {"role": "assistant", "content": "Well,"}],), {}),
        (lambda messages: messages, ([{"role": "user", "content": PARTS}],), {}),
        (lambda **body: body, (), {"model": "gpt-4o", "messages": CHAT}),
        (lambda **body: body, (), {"model": "gpt-4o", "input": "How?", "instructions": "be kind"}),
        (lambda **body: body, (), {"input": [{"role": "user", "content": [{"type": "input_text", "text": "How?"}]}]}),
        (lambda x: x, ([SystemMessage("s"), HumanMessage("How?"), AIMessage("", tool_calls=[])],), {}),
        (lambda x: x, ({"messages": [HumanMessage(PARTS), AIMessage("Well,")]},), {}),
        (lambda x: x, (HumanMessage("How?"),), {}),
        (lambda x: x, (ChatPromptValue(messages=[HumanMessage("How?")]),), {}),
        (lambda x: x, (messages_to_dict([HumanMessage("How?")]),), {}),
        (lambda x: x, ({"contents": [{"role": "user", "parts": [{"text": "How?"}]}]},), {}),
        (lambda event, context: event, ({"body": '{"question": "How?"}', "httpMethod": "POST"}, None), {}),
        (lambda x: x, (["How?"],), {}),
        (lambda x: x, (("user", "How?"),), {}),
        (lambda request: request, ({"method": "GET", "path": "/a", "query": {"q": ["How?"]}, "body": None},), {}),
        (lambda request: request, ({"method": "POST", "path": "/a", "query": {}, "body": {"question": "How?"}},), {}),
    ],
)
def test_the_question_is_found_in_the_arguments(function: Any, args: Any, kwargs: Any) -> None:
    """By name, in bodies and in chats, wherever it stands; never the user's id, the language or the system's prompt."""
    assert asked(function, *args, **kwargs) == "How?"


def test_methods_have_no_self() -> None:
    """Bound, or mirrored in their class."""
    assert asked(Bot().answer, "s-1", "How?") == "How?"
    transport = MemoryTransport()

    class Mirrored(Bot):
        answer = Mirror("support", transport, control=0.0)(Bot.answer)

    Mirrored().answer("s-1", question="How?")
    assert codec.decode_envelope(transport.frames[0]).query.text == "How?"


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "text"),
    [
        (lambda weight, country: weight, (3.5,), {"country": "DE"}, "weight=3.5, country='DE'"),
        (lambda a, b: a, ("one", "two"), {}, "a='one', b='two'"),
        (lambda country: country, (Country.DE,), {}, "country=de"),
        (lambda day: day, (dt.date(2020, 1, 2),), {}, "day=2020-01-02"),
        (lambda x: x, (["a", "b"],), {}, "x=['a', 'b']"),
        (lambda *args: args, (1, 2), {}, "1, 2"),
        (lambda: None, (), {}, ""),
    ],
)
def test_without_a_single_text_the_arguments_are_shown(function: Any, args: Any, kwargs: Any, text: str) -> None:
    """So that a person can tell the calls apart."""
    assert asked(function, *args, **kwargs) == text


def test_the_same_arguments_are_the_same_query() -> None:
    """Positional or by name, whatever the order of keywords, keys and sets, as integer or float."""

    def quote(weight: Any, country: Any = "DE") -> Any:
        return weight, country

    same = queries(
        quote,
        (({"b": 10, "a": {"x", "y", "z"}}, "FR"), {}),
        (({"a": {"z", "y", "x"}, "b": 10.0},), {"country": "FR"}),
        ((), {"country": "FR", "weight": {"b": 10, "a": {"y", "x", "z"}}}),
    )
    others = queries(
        quote, ((3.5, "DE"), {}), ((4, "DE"), {}), ((3.5, "de"), {}), (("3.5", "DE"), {}), ((True, "DE"), {})
    )

    assert len({query.key for query in same}) == 1
    assert len({query.key for query in (*same, *others)}) == 1 + len(others)


def test_messages_are_the_same_whatever_ids_they_were_given() -> None:
    """A framework numbers them anew each time."""
    calls = [(({"messages": [HumanMessage("How?", id=name)]},), {}) for name in ("a", "b")]
    one, other = queries(lambda state: state, *calls)
    assert one.key == other.key


def test_the_user_says_otherwise() -> None:
    """`text=` and `key=`; what `inputs=` gives is what was asked."""

    def answer(user: str, x: str) -> str:
        return user + x

    calls = [(("u-1", "How?"), {}), (("u-2", "How?"), {})]
    one, other = queries(answer, *calls, key=lambda user, x: x, text=lambda user, x: f"{x}!")
    assert (one.key, one.text) == (other.key, "How?!")
    one, other = queries(answer, *calls, inputs=lambda user, x: {"question": x})
    assert (one.key, one.text) == (other.key, "How?")
    one, other = queries(answer, *calls, key=lambda user, x: user)
    assert one.key != other.key


def test_a_secret_is_in_neither_text_nor_key() -> None:
    """A redacted query is known by what was sent, so that nobody can try secrets against its hash."""

    def hide(text: str, key: str) -> str:
        return "[x]" if text.isdecimal() else text

    one, other = queries(lambda question: question, (("4111",), {}), (("4222",), {}), redact=hide)
    assert (one.text, one.key) == ("[x]", other.key)
