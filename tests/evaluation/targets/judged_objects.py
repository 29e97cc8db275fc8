"""A pipeline that returns objects, and scorers that need them."""

import dataclasses
import os
import time

from shadoweval.records import Scored


@dataclasses.dataclass
class Reply:
    """What it returns."""

    text: str

    def right(self):
        return self.text.startswith("yes")


def answer(question):
    return Reply("yes, since " + question)


def worse(question):
    return Reply("no, since " + question)


def rightness(observation, pair):
    """By the class's own method; what the shadow's probes have in its place is no reply."""
    reply = observation.outcome.value
    return {"rightness": Scored(float(isinstance(reply, Reply) and reply.right()))}


def raises(observation, pair):
    raise ValueError("half \ud83d")


def dies(observation, pair):
    os._exit(3)


def hangs(observation, pair):
    time.sleep(60)


def deletes(observation, pair):
    os.unlink(os.environ["SHADOW_TEST_FILE"])  # noqa: PTH108 - a text


class Deleting:
    """Acts when its state is set."""

    def __init__(self, file):
        self.file = file

    def __setstate__(self, state):
        if os.path.exists(state["file"]):  # noqa: PTH110 - a text
            os.remove(state["file"])  # noqa: PTH107
        self.__dict__.update(state)
