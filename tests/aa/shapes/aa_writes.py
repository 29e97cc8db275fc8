"""Agents that write: one after the other, at once, twice, in vain, into a world, and read again what they wrote."""

import asyncio

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


@shape(*ORDERS, fault="a tool that another calls is not run where that one is answered from the record")
def within_each_other(order):
    return booked(order)
