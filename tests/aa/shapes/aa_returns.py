"""What pipelines give back, and how they fail."""

import datetime as dt
from dataclasses import dataclass

from aa_rows import add, call, shape
from pydantic import BaseModel


class Reply(BaseModel):
    answer: str
    sources: list[str] = []


@dataclass
class Plain:
    text: str
    cents: int


@shape()
def mapping(question):
    return {"answer": f"because of {question}", "sources": ["a", "b"], "at": dt.date(2026, 1, 2)}


@shape()
def model(question):
    return Reply(answer=f"because of {question}", sources=["a"])


@shape()
def record(question):
    return Plain(question, 5)


@shape()
def pair(question):
    return f"because of {question}", 0.5


@shape()
def nothing(question):
    del question


@shape()
def number(question):
    return len(question) * 1.5


@shape(call("good"), call("bad"))
def sometimes_raises(question):
    if question == "bad":
        raise ValueError("no")
    return question


@shape()
async def raises(question):
    raise LookupError(question)


@shape()
def chunks(question):
    yield "because "
    yield f"of {question}"


@shape()
async def awaited_chunks(question):
    yield "because "
    yield f"of {question}"


@shape()
def broken_stream(question):
    yield f"because of {question}"
    raise RuntimeError("line went dead")


CROWDS = {
    "too many": lambda: [[] for _ in range(300_000)],
    "beside an answer": lambda: {"answer": "yes", "parts": [{} for _ in range(300_000)]},
    "half as many": lambda: [[] for _ in range(150_000)],
}


def crowd(name):
    return CROWDS[name]()


def crowd_in_chunks(name):
    yield {"text": "a"}
    yield from [CROWDS[name]()] * 2
    yield {"text": "b"}


add(__name__, "crowd", crowd, call("too many"), call("beside an answer"))
add(__name__, "crowd_in_chunks", crowd_in_chunks, call("half as many"))


@shape(call(2), call(4), call(12), mirroring={"max_bytes": 1 << 20})
def long_stream(chunks):
    """Of letters that take two bytes each: more than the cap is of, in bytes and then in letters."""
    for number in range(chunks):
        yield chr(1072 + number) * 200_000


@shape(call(2), call(12))
def long_stream_of_mappings(chunks):
    for number in range(chunks):
        yield {"text": f"{number} " + "x" * 200_000, "n": number}
