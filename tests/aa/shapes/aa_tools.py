"""Tools, retrievers and steps of our own decorators."""

import asyncio
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aa_rows import call, shape

from shadoweval import retriever, step, tool


@tool(effect="read")
def look_up(order_id):
    return {"id": order_id, "cents": 500}


@tool(effect="write")
def refund(order_id, cents):
    return {"refunded": cents, "order": order_id}


@tool(effect="read")
async def weather(city):
    await asyncio.sleep(0)
    return f"rain in {city}"


@dataclass
class Order:
    id: str
    cents: int


@tool(effect="read")
def typed_order(order_id):
    return Order(order_id, 5)


@tool(effect="read")
def span(order_id):
    return (1, {order_id})


@retriever
def search(question, count):
    return [{"id": f"d{n}", "text": f"{question} {n}", "score": 1 / (n + 1)} for n in range(count)]


@step()
def shorten(text):
    return text[:20]


@shape(call("o-1"), call("o-2"))
def agent(order_id):
    order = look_up(order_id)
    return f"{refund(order_id, order['cents'])}"


@shape()
def rag(question):
    return shorten(" ".join(hit["text"] for hit in search(question, 3)))


@shape()
async def gathered(question):
    return f"{question} {await asyncio.gather(*(weather(city) for city in ('Oslo', 'Oslo', 'Rome')))}"


def is_declined(result):
    return result == "declined"


@tool(effect="write", failed=is_declined)
def charge(order_id, cents):
    return "declined" if cents > 100 else "charged"


@tool(effect="write")
def cancel(order_id):
    return {"error": f"{order_id} is shipped"}


@shape(call("o-1"), call("o-2"))
def failing_results(order_id):
    """Tools that say by their result that they failed: the pipeline goes on with what they say."""
    return f"{charge(order_id, 500)} {charge(order_id, 5)} {cancel(order_id)}"


@shape(call("o-1"), call("o-2"))
def fails_after_its_calls(order_id):
    """What a failed run has called stays in its record, and is replayed."""
    order = look_up(order_id)
    refund(order_id, order["cents"])
    raise LookupError(order_id)


@shape()
def doubled(question):
    return f"{question} {refund('o-1', 5)} {refund('o-1', 5)}"


@shape()
def failing_tool(question):
    try:
        look_up()
    except TypeError as error:
        return f"{question}: {error}"


@shape()
async def failing_tools_of_other_kinds(question):
    """Writes and coroutines; in a decorator's, what is missing is added on the way."""
    said = [question]
    for call_ in (lambda: refund("o-1"), lambda: refund("o-1", 5, 6), lambda: signed("o-1", by="me")):
        try:
            said.append(str(call_()))
        except TypeError as error:
            said.append(str(error))
    try:
        said.append(await weather("Oslo", "Rome"))
    except TypeError as error:
        said.append(str(error))
    return " / ".join([*said, signed("o-1")])


def with_signature(function):
    @functools.wraps(function)
    def signing(*args):
        return function("signature", *args)

    return signing


@tool(effect="write")
@with_signature
def signed(signature, order_id):
    return f"{order_id}: {signature}"


@shape()
def record_from_a_tool(question):
    return f"{question}: {typed_order('o-1').cents}"


@shape()
def tuple_from_a_tool(question):
    return f"{question}: {span('o-1')!r}"


@shape()
def executor(question):
    with ThreadPoolExecutor(2) as pool:
        return f"{question} {list(pool.map(look_up, ['o-1', 'o-2']))}"


@shape()
def threads(question):
    answers = []
    own = [threading.Thread(target=lambda: answers.append(look_up("o-1"))) for _ in range(2)]
    for thread in own:
        thread.start()
    for thread in own:
        thread.join()
    return f"{question} {answers}"


@shape()
async def to_thread(question):
    return f"{question} {await asyncio.gather(*(asyncio.to_thread(look_up, 'o-1') for _ in range(3)))}"
