"""What an incumbent returns whose class is not what its methods make one think: its caller gets it as without us."""

import gc
from dataclasses import dataclass
from typing import Any

import pytest

from shadoweval.capture.interception import installed


@pytest.fixture(autouse=True)
def _no_call_is_left_open():
    before = installed.watching
    yield
    gc.collect()
    assert installed.watching == before


class Unhashable(type):
    """Classes that compare by identity and, as Python has it, lose their hash with that."""

    def __eq__(cls, other):
        return cls is other


class Odd(metaclass=Unhashable):
    pass


@dataclass
class Holder:
    value: Any


HOLDING = {
    "itself": lambda value: value,
    "dict": lambda value: {"answer": value},
    "list": lambda value: [value],
    "tuple": lambda value: (value, 1),
    "record": Holder,
    "deep": lambda value: {"a": [{"b": value}]},
}


@pytest.mark.parametrize("holding", HOLDING)
def test_a_class_that_can_not_be_hashed_reaches_its_caller(holding, mirror, kept, counted):
    """Nothing is raised, the call is over and counted, and the next one is mirrored."""
    odd = Odd()

    @mirror
    def answer(question):
        return question if question == "next" else HOLDING[holding](odd)

    assert answer("q") == answer("q") == HOLDING[holding](odd)
    assert (answer("next"), len(kept.frames)) == ("next", 1)
    assert counted(mirror)["uncopyable"] == 2


@pytest.mark.asyncio
async def test_nor_of_a_coroutine_function(mirror, counted):
    """As above, and with a class of such an argument."""

    @mirror
    async def answer(question):
        return {"answer": Odd()}

    assert type((await answer("q"))["answer"]) is Odd
    assert type((await answer({"question": Odd()}))["answer"]) is Odd
    assert counted(mirror)["eligible"] == 2
