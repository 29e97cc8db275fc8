"""Agents that write: one after the other, at once, twice, in vain, into a world, and read again what they wrote."""

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from aa_rows import call, shape

from shadoweval import InstanceWorld, Sandbox, Stubs, tool

ORDERS = (call("K-1"), call("K-2"))


@tool(effect="read")
def look(order):
    return {"order": order, "cents": 500}


@tool(effect="write")
def refund(order, cents):
    return {"refund_id": f"R-{order}", "cents": cents}


@tool(effect="write")
def close(order):
    return "closed"


@tool(effect="write")
async def note(order, text):
    await asyncio.sleep(0.002 if text == "slow" else 0)
    return f"{order}: {text}"


@tool(effect="write")
def too_late(order):
    raise ValueError(f"{order} is closed")


@tool(effect="write")
def booked(order):
    return f"booked by {refund(order, 1)['refund_id']}"


class Desk:
    """The world of these tools; its own refunds have other numbers than production's."""

    def __init__(self):
        self.refunds = []

    def look(self, order):
        return {"order": order, "cents": 0}

    def refund(self, order, cents):
        self.refunds.append(order)
        return {"refund_id": f"own-{len(self.refunds)}", "cents": cents}

    def close(self, order):
        return "closed here"


IN_A_WORLD = {"sandbox": Sandbox(stubs=Stubs(worlds=[InstanceWorld(Desk, tools=["look", "refund", "close"])]))}


@shape(*ORDERS)
def one_after_the_other(order):
    return f"{refund(order, look(order)['cents'])} {close(order)}"


@shape(*ORDERS)
def read_again(order):
    return f"{look(order)} {refund(order, 5)} {look(order)} {close(order)} {look(order)}"


@shape(*ORDERS, options=IN_A_WORLD)
def in_a_world(order):
    told = refund(order, look(order)["cents"])
    return f"{told} {close(told['refund_id'])} {look(order)}"


@shape(*ORDERS)
def the_same_twice(order):
    return f"{refund(order, 5)} {refund(order, 5)}"


@shape(*ORDERS)
def in_vain(order):
    try:
        too_late(order)
    except ValueError as error:
        return f"{error} {close(order)}"


@shape(*ORDERS)
async def at_once(order):
    texts = ("slow", "quick", "slow", "third")
    return " ".join(await asyncio.gather(*(note(order, text) for text in texts)))


@shape(*ORDERS)
def chunk_by_chunk(order):
    yield str(refund(order, 5))
    yield close(order)


@shape(*ORDERS, options={"sandbox": Sandbox(stubs=Stubs(compare={"refund": ["order"]}))})
def by_chosen_arguments(order):
    return f"{refund(order, 5)} {close(order)}"


@shape(*ORDERS)
def within_each_other(order):
    return booked(order)


@tool(effect="write")
def settled(order):
    """Two deep, a read among them, and one in vain."""
    said = [booked(order), str(look(order))]
    try:
        too_late(order)
    except ValueError as error:
        said.append(str(error))
    return " ".join(said)


@tool(effect="write")
async def noted(order):
    return " ".join(await asyncio.gather(*(note(order, text) for text in ("slow", "quick"))))


@tool(effect="read")
def looked_up(order):
    return f"{look(order)['cents']} of {order}"


@shape(*ORDERS)
def two_deep(order):
    return f"{settled(order)} {look(order)} {refund(order, 1)}"


@shape(*ORDERS)
async def awaited_within_each_other(order):
    first, second = await asyncio.gather(noted(order), noted(order))
    return f"{first} {second} {await note(order, 'quick')}"


@shape(*ORDERS)
def a_read_within_a_read(order):
    return looked_up(order)


def unlike_the_incumbent(works):
    """In another order in the candidate's process, as a busy machine or a slow model may have it."""
    return works if "pytest" in sys.modules else works[::-1]


def in_turns(order):
    """Two writes to hand over, the second of which is made when the first has ended."""
    begun, ended = threading.Barrier(2, timeout=60), threading.Event()

    def first(write):
        begun.wait()
        write(order)
        ended.set()

    def second(write):
        begun.wait()
        assert ended.wait(60)
        write(order)

    by_turn = dict(zip(("refund", "close"), unlike_the_incumbent([first, second]), strict=True))
    return [lambda: by_turn["refund"](lambda order: refund(order, 1)), lambda: by_turn["close"](close)]


@shape(*ORDERS)
def turns_of_a_pool(order):
    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(work) for work in in_turns(order)]:
            each.result()
    return order


@shape(*ORDERS)
def turns_of_threads(order):
    started = [threading.Thread(target=work) for work in in_turns(order)]
    for each in started:
        each.start()
    for each in started:
        each.join()
    return order


@shape(*ORDERS)
async def turns_of_a_loops_threads(order):
    await asyncio.gather(*map(asyncio.to_thread, in_turns(order)))
    return order


@shape(*ORDERS)
async def turns_of_tasks(order):
    ended = asyncio.Event()

    async def first(write):
        write()
        ended.set()

    async def second(write):
        await ended.wait()
        write()

    turns = unlike_the_incumbent([first, second])
    await asyncio.gather(turns[0](lambda: refund(order, 1)), turns[1](lambda: close(order)))
    return order
