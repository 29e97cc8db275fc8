"""What tools do besides returning: they change what they are given, and raise from what went wrong before."""

import asyncio
import collections
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from aa_rows import call, shape
from pydantic import BaseModel

from shadoweval import tool

ASKED = (call("K-1"), call("K-2"))


@dataclass
class Basket:
    lines: list = field(default_factory=list)
    total: int = 0


class Form(BaseModel):
    name: str = ""
    notes: list[str] = []


class Slotted:
    __slots__ = ("lines",)

    def __init__(self):
        self.lines = []


@tool(effect="read")
def fill(order, rows, *more, index, **others):
    rows.append({"order": order})
    rows.extend(more[0])
    more[0].clear()
    index[order] = len(rows)
    index.pop("old", None)
    index["deep"]["inner"].append(order)
    others["seen"].add(order)


@tool(effect="write")
async def put(order, basket, form):
    basket.lines.append(order)
    basket.total += 3
    form.name = order
    form.notes.append("n")
    return basket.total


@tool(effect="read")
def complete(table, array, buffer, queue, counts, slotted):
    table["price"] = [1.5, 2.5]
    array[0] = 7
    buffer += b"!"
    queue.appendleft(0)
    counts["a"].append(1)
    slotted.lines.append("x")


@tool(effect="write")
def half_done(rows):
    rows.append("begun")
    raise ValueError("no")


@tool(effect="read")
def pages(rows):
    for n in range(2):
        rows.append(n)
        yield n


@shape(*ASKED)
def containers(order):
    rows, more, index, seen = [], [1, 2], {"old": 1, "deep": {"inner": []}}, set()
    inner = index["deep"]["inner"]
    fill(order, rows, more, index=index, seen=seen)
    fill(order, rows, more, index=index, seen=seen)
    return f"{rows} {more} {index} {seen} {inner}"


@shape(*ASKED)
async def objects(order):
    basket, form = Basket(), Form()
    lines = basket.lines
    total = await put(order, basket, form)
    total += await put(order, basket, form=form)
    await asyncio.gather(*(put(f"{order}-{n}", Basket(), Form()) for n in range(3)))
    return f"{total} {basket} {form!r} {lines}"


@shape(*ASKED)
def tables(order):
    table = pd.DataFrame({"order": [order, "K"]})
    same, array, buffer, queue = table, np.zeros(2), bytearray(b"a"), collections.deque([1])
    counts, slotted = collections.defaultdict(list), Slotted()
    complete(table, array, buffer, queue, counts, slotted)
    return f"{same.to_dict()} {array} {buffer} {queue} {counts} {slotted.lines}"


@shape(*ASKED)
def failed_and_streamed(order):
    rows = [order]
    try:
        half_done(rows)
    except ValueError as error:
        rows.append(str(error))
    return f"{list(pages(rows))} {rows}"


class DeniedError(Exception):
    def __init__(self, order, *, code):
        super().__init__(f"no {order}")
        self.code = code


@tool(effect="read")
def caused(order):
    try:
        try:
            {}[order]
        except KeyError as error:
            error.add_note("looked it up")
            raise DeniedError(order, code=4) from error
    except DeniedError as denied:
        raise RuntimeError("failed") from denied


@tool(effect="write")
def in_passing(order):
    try:
        {}[order]
    except KeyError:
        raise ValueError("no")  # noqa: B904 - on purpose


@tool(effect="write")
async def from_none(order):
    try:
        {}[order]
    except KeyError:
        error = ValueError("no")
        error.add_note(f"about {order}")
        error.add_note("twice")
        raise error from None


@tool(effect="read")
def plainly(order):
    raise DeniedError(order, code=5)


def told(error, depth=0):
    if error is None or depth > 5:
        return None
    notes = getattr(error, "__notes__", None)
    own = (repr(error), notes, getattr(error, "code", None), error.__suppress_context__)
    return (*own, told(error.__cause__, depth + 1), told(error.__context__, depth + 1))


@shape(*ASKED)
async def causes(order):
    said = []
    for one in (caused, in_passing, from_none, plainly):
        try:
            value = one(order)
            if asyncio.iscoroutine(value):
                await value
        except Exception as error:
            said.append(told(error))
            try:
                plainly(f"{order}-again")
            except DeniedError as inner:
                said.append(told(inner.__context__))
    return "\n".join(map(repr, said))
