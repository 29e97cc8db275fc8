"""The calls that are measured: a RAG call of three steps, an agent call of six tools; they do nothing but return.

Payload: question of 200 characters, five passages of 800, answer of 600; tools with results of 400. The fat RAG call
has fifty passages of 4,000: about 600 KB where every step's inputs and outputs are written out.
"""

# ruff: noqa: ARG001, ARG005 - the steps have the parameters that real ones have.

import random
import time
from collections.abc import Callable
from typing import Any

__all__ = ["WORKLOADS", "build", "payloads", "spin_count"]

WORKLOADS = ("rag", "agent", "fat")
_FAT = (50, 4000)
Wrap = Callable[..., Callable[..., Any]]


def payloads(workload: str = "rag", *, count: int = 256, seed: int = 7) -> list[dict[str, Any]]:
    """Realistic sizes, the same in every process; `count` is a power of two."""
    passages, length = _FAT if workload == "fat" else (5, 800)
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(2000)]

    def text(size: int) -> str:
        return " ".join(rng.choices(words, k=size // 3 + 1))[:size]

    def passage() -> dict[str, Any]:
        metadata = {"source": f"kb/{rng.randrange(999)}.md", "page": rng.randrange(40)}
        return {"id": f"doc-{rng.randrange(10**6)}", "text": text(length), "score": rng.random(), "metadata": metadata}

    def exchange() -> tuple[dict[str, Any], dict[str, Any]]:
        asked = {"query": text(60), "limit": 5, "filters": {"lang": "en", "year": 2026}}
        return asked, {"status": "ok", "rows": [rng.randrange(10**6) for _ in range(5)], "text": text(400)}

    return [
        {
            "question": text(200),
            "passages": [passage() for _ in range(passages)],
            "answer": text(600),
            "tools": [exchange() for _ in range(6)],
        }
        for _ in range(count)
    ]


class Current:
    """The payload of the call under way."""

    payload: dict[str, Any]


def spin_count(microseconds: float) -> int:
    """How many turns of a loop take that long here."""

    def spin(count: int) -> int:
        total = 0
        for i in range(count):
            total += i & 7
        return total

    best = float("inf")
    for _ in range(7):
        began = time.perf_counter()
        spin(20_000)
        best = min(best, time.perf_counter() - began)
    return int(microseconds * 1e-6 / best * 20_000)


def _busy(spins: int, waits: int, wait: float) -> None:
    total = 0
    for i in range(spins):
        total += i & 7
    for _ in range(waits):
        time.sleep(wait)


def build(workload: str, wrap: Wrap, *, asynchronous: bool, work: tuple[int, int, float]) -> Callable[..., Any]:
    """The root of a workload, every step of it wrapped."""
    if asynchronous:
        return _build_async(workload, wrap)
    if workload != "agent":
        retrieve = wrap("retriever", "retrieve", lambda question: Current.payload["passages"])
        generate = wrap("model", "generate", lambda question, passages: Current.payload["answer"])

        def rag(question: str) -> dict[str, Any]:
            _busy(*work)
            passages = retrieve(question)
            return {"answer": generate(question, passages), "contexts": passages}

        return wrap("root", "rag", rag)

    tools = [wrap("tool", f"tool_{i}", _tool(i)) for i in range(6)]

    def agent(question: str) -> dict[str, Any]:
        _busy(*work)
        for i, tool in enumerate(tools):
            tool(Current.payload["tools"][i][0])
        return {"answer": Current.payload["answer"]}

    return wrap("root", "agent", agent)


def _tool(i: int) -> Callable[..., Any]:
    def run(arguments: dict[str, Any]) -> dict[str, Any]:
        return Current.payload["tools"][i][1]

    return run


def _build_async(workload: str, wrap: Wrap) -> Callable[..., Any]:
    if workload != "agent":

        async def found(question: str) -> list[dict[str, Any]]:
            return Current.payload["passages"]

        async def written(question: str, passages: list[dict[str, Any]]) -> str:
            return Current.payload["answer"]

        retrieve, generate = wrap("retriever", "retrieve", found), wrap("model", "generate", written)

        async def rag(question: str) -> dict[str, Any]:
            passages = await retrieve(question)
            return {"answer": await generate(question, passages), "contexts": passages}

        return wrap("root", "rag", rag)

    tools = [wrap("tool", f"tool_{i}", _async_tool(i)) for i in range(6)]

    async def agent(question: str) -> dict[str, Any]:
        for i, tool in enumerate(tools):
            await tool(Current.payload["tools"][i][0])
        return {"answer": Current.payload["answer"]}

    return wrap("root", "agent", agent)


def _async_tool(i: int) -> Callable[..., Any]:
    async def run(arguments: dict[str, Any]) -> dict[str, Any]:
        return Current.payload["tools"][i][1]

    return run
