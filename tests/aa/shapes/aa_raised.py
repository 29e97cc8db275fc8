"""Exceptions of tools that a pipeline catches and looks into: they come again as they were."""

import enum
from dataclasses import dataclass

import httpx
from aa_rows import call, shape

from shadoweval import tool

ASKED = (call("K-1"), call("K-2"))


class NotFoundError(Exception):
    """Its constructor takes other arguments than `args` holds, so that `pickle` can't make it again."""

    def __init__(self, order, *, code):
        super().__init__(f"no {order}")
        self.order, self.code = order, code


class DeniedError(PermissionError):
    def __init__(self, order):
        super().__init__(13, order)
        self.order = order


@tool(effect="read")
def look(order):
    raise NotFoundError(order, code=4)


@tool(effect="write")
async def cancel(order):
    raise DeniedError(order)


@tool(effect="read")
def price(order):
    return {}[order]


@tool(effect="write")
def order_many(order):
    raise ExceptionGroup("some", [NotFoundError(order, code=5), ValueError(1)])


@tool(effect="read")
def exits(order):
    raise SystemExit(3)


@tool(effect="read")
def fetched(order):
    request = httpx.Request("GET", f"https://shop.example/{order}")
    raise httpx.HTTPStatusError("slow down", request=request, response=httpx.Response(429, request=request, text="no"))


@shape(*ASKED)
def of_its_own(order):
    try:
        look(order)
    except NotFoundError as error:
        return f"{error} {error.order} {error.code}"


@shape(*ASKED)
async def of_all_kinds(order):
    said = []
    for one in (price, exits, fetched, order_many):
        try:
            one(order)
        except (Exception, SystemExit) as error:
            said.append(f"{error!r} {error} {getattr(getattr(error, 'response', None), 'status_code', None)}")
            said += [repr(vars(inner)) for inner in getattr(error, "exceptions", ())]
    try:
        await cancel(order)
    except DeniedError as error:
        said.append(f"{error.errno} {error.order}")
    return "\n".join(said)


@shape(*ASKED)
def that_ends_the_run(order):
    look(order)


class Status(enum.Enum):
    OPEN = "open"


@dataclass(slots=True)
class Order:
    order: str
    status: Status = Status.OPEN


@tool(effect="read")
def orders(order):
    return [Order(order), Order(f"{order}-2")]


@shape(call([Order("K-1"), Order("K-2")]), call([Order("K-3"), Order("K-4")]))
def one_state_of_two(given):
    """A member of an enum at several places."""
    return f"{given} {orders(given[0].order)}"
