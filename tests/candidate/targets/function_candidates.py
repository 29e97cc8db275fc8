"""A function-calling loop whose functions know nothing of any framework."""

import asyncio
import functools
import inspect
import json


def get_order(order_id, fields="all"):
    return {"order_id": order_id, "live": True, "fields": fields}


def describe(order_id) -> str:
    return json.dumps({"order_id": order_id})


def cancel(order_id: str, *, reason: str = "none"):
    raise AssertionError("a write ran for real")


async def notify(address):
    raise AssertionError("an async write ran for real")


def made(prefix):
    def charge(order_id, amount=5):
        raise AssertionError(f"{prefix}: a closure ran for real")

    return charge


charge = made("closure")


class Desk:
    def close(self, ticket):
        raise AssertionError("a method ran for real")


desk = Desk()
FUNCTIONS = {
    "get_order": get_order, "describe": describe, "cancel": cancel, "notify": notify,
    "charge": functools.partial(charge, amount=7), "close": desk.close,
}  # fmt: skip


def loop(question):
    answers = []
    for name, arguments in json.loads(question):
        try:
            result = FUNCTIONS[name](**arguments)
            if inspect.isawaitable(result):
                result = asyncio.run(result)
        except Exception as error:
            result = f"{type(error).__name__}"
        answers.append(result)
    return {"answer": json.dumps(answers), "signature": str(inspect.signature(cancel))}


def warmed():
    cancel("K-0")
