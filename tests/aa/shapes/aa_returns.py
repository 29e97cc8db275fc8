"""What pipelines give back, and how they fail."""

import datetime as dt
from dataclasses import dataclass

from aa_rows import call, shape
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
