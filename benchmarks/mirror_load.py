"""A process under load: mirrored calls in busy threads and in an event loop, and when the last one was handed over.

python -m benchmarks.mirror_load NAME
"""

import asyncio
import json
import os
import sys
import threading
import time
from typing import Any

from shadoweval import Experiment, Traffic
from shadoweval.protocols import Transport
from shadoweval.traffic.breaker import Breaker

__all__ = ["Stamping", "main"]

THREADS = 3
TASKS = 4


class Stamping(Transport):
    """A transport that keeps nothing but the moments of the first and the last offer."""

    def __init__(self) -> None:
        self.count = self.first = self.last = 0

    def offer(self, frame: bytes) -> str | None:  # noqa: ARG002 - the contract of transports
        now = time.monotonic_ns()
        if not self.first:
            self.first = now
        self.last = now
        self.count += 1
        return None

    def close(self) -> None:
        """Nothing is open."""


def _told(transport: Stamping, began: int = 0) -> dict[str, int]:
    return {"count": transport.count, "first": transport.first, "last": transport.last, "began": began}


def _commands(experiment: Experiment, transport: Stamping, answers: Any) -> None:
    for line in sys.stdin:
        began = time.monotonic_ns()
        do = line.strip()
        if do == "kill":
            experiment.kill("benchmark")
        elif do == "resume":
            transport.first = 0
            began = time.monotonic_ns()
            experiment.resume("benchmark")
        elif do == "forget":
            transport.first = 0
        answers.write(json.dumps(_told(transport, began)) + "\n")
    os._exit(0)


async def _loop(call: Any) -> None:
    async def busy() -> None:
        while True:
            await call("asked by a task")
            await asyncio.sleep(0)

    await asyncio.gather(*(busy() for _ in range(TASKS)))


class NeverOpen(Breaker):
    """This load would open it, and what is measured is the switch."""

    def open(self) -> bool:
        return False


def main() -> None:
    transport = Stamping()
    experiment = Experiment(
        name=sys.argv[1],
        candidates={"two": "benchmarks.mirror_experiment:two_milliseconds"},
        traffic=Traffic(transport=transport, breaker=NeverOpen()),
    )
    mirror = experiment.mirror()

    @mirror
    def answer(question: str) -> str:
        return question

    @mirror
    async def aanswer(question: str) -> str:
        await asyncio.sleep(0)
        return question

    def busy() -> None:
        while True:
            answer("asked by a thread")

    for _ in range(THREADS):
        threading.Thread(target=busy, daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    threading.Thread(target=_commands, args=(experiment, transport, answers), daemon=True).start()
    asyncio.run(_loop(aanswer))


if __name__ == "__main__":
    main()
