"""The calls that are measured: a RAG call of three steps, an agent call of six tools; they do nothing but return.

Payload: question of 200 characters, five passages of 800, answer of 600; tools with results of 400. The fat RAG call
has fifty passages of 4,000: about 600 KB where every step's inputs and outputs are written out.

A workload is named `rag`, `agent` or `fat`; or `rag/PASSAGES`, `rag/PASSAGES/returned`, `agent/RESULT/keyword` or
`agent/RESULT/position` with a kind of `mirror_kinds`.
"""

# ruff: noqa: ARG001, ARG005 - the steps have the parameters that real ones have.

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Current", "Workload", "build", "payloads", "spin_count"]

_FAT = (50, 4000)
Wrap = Callable[..., Callable[..., Any]]


@dataclass(frozen=True)
class Workload:
    """What a name means.

    Attributes:
        agent: Six tools; else a retriever and a model.
        kind: Kind of the passages or results; empty: dictionaries with everything in them.
        returned: The passages are in what the call returns.
        keyword: The tools are called by keyword.
        fat: Many long passages.
    """

    agent: bool = False
    kind: str = ""
    returned: bool = True
    keyword: bool = True
    fat: bool = False

    @classmethod
    def named(cls, name: str) -> "Workload":
        family, _, rest = name.partition("/")
        kind, _, option = rest.partition("/")
        if family == "agent":
            return cls(agent=True, kind=kind, keyword=option != "position")
        return cls(kind=kind, returned=not kind or option == "returned", fat=family == "fat")


def payloads(workload: str = "rag", *, count: int = 256, seed: int = 7) -> list[dict[str, Any]]:
    """Realistic sizes, the same in every process; `count` is a power of two."""
    meant = Workload.named(workload)
    passages, length = _FAT if meant.fat else (5, 800)
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(2000)]

    def text(size: int) -> str:
        return " ".join(rng.choices(words, k=size // 3 + 1))[:size]

    def passage() -> dict[str, Any]:
        metadata = {"source": f"kb/{rng.randrange(999)}.md", "page": rng.randrange(40)}
        return {"id": f"doc-{rng.randrange(10**6)}", "text": text(length), "score": rng.random(), "metadata": metadata}

    def exchange() -> tuple[dict[str, Any], Any]:
        asked = {"query": text(60), "limit": 5, "filters": {"lang": "en", "year": 2026}}
        return asked, {"status": "ok", "rows": [rng.randrange(10**6) for _ in range(5)], "text": text(400)}

    def payload() -> dict[str, Any]:
        found = [passage() for _ in range(passages)]
        tools = [exchange() for _ in range(6)]
        return {"question": text(200), "passages": found, "answer": text(600), "tools": tools}

    return [_of_kind(payload(), meant) for _ in range(count)]


def _of_kind(payload: dict[str, Any], meant: Workload) -> dict[str, Any]:
    """The payload with passages or results of the kind that is meant."""
    if not meant.kind:
        return payload
    from benchmarks.mirror_kinds import PASSAGES, RESULTS  # imports LangChain and others, which not all targets need

    if meant.agent:
        return {**payload, "tools": [(asked, RESULTS[meant.kind](result)) for asked, result in payload["tools"]]}
    return {**payload, "passages": list(map(PASSAGES[meant.kind], payload["passages"]))}


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
    meant = Workload.named(workload)
    if asynchronous:
        return _async_agent(meant, wrap) if meant.agent else _async_rag(meant, wrap)
    return _agent(meant, wrap, work) if meant.agent else _rag(meant, wrap, work)


def _rag(meant: Workload, wrap: Wrap, work: tuple[int, int, float]) -> Callable[..., Any]:
    retrieve = wrap("retriever", "retrieve", lambda question: Current.payload["passages"])
    generate = wrap("model", "generate", lambda question, passages: Current.payload["answer"])

    def rag(question: str) -> dict[str, Any]:
        _busy(*work)
        passages = retrieve(question)
        answer = generate(question, passages)
        return {"answer": answer, "contexts": passages} if meant.returned else {"answer": answer}

    return wrap("root", "rag", rag)


def _agent(meant: Workload, wrap: Wrap, work: tuple[int, int, float]) -> Callable[..., Any]:
    def tool(i: int) -> Callable[..., Any]:
        def run(query: str, limit: int, filters: dict[str, Any]) -> Any:
            return Current.payload["tools"][i][1]

        return wrap("tool", f"tool_{i}", run)

    tools = [tool(i) for i in range(6)]

    def agent(question: str) -> dict[str, Any]:
        _busy(*work)
        for tool, (asked, _) in zip(tools, Current.payload["tools"], strict=True):
            if meant.keyword:
                tool(**asked)
            else:
                tool(asked["query"], asked["limit"], asked["filters"])
        return {"answer": Current.payload["answer"]}

    return wrap("root", "agent", agent)


def _async_rag(meant: Workload, wrap: Wrap) -> Callable[..., Any]:
    async def passages_of(question: str) -> list[Any]:
        return Current.payload["passages"]

    async def answer_to(question: str, passages: list[Any]) -> str:
        return Current.payload["answer"]

    retrieve, generate = wrap("retriever", "retrieve", passages_of), wrap("model", "generate", answer_to)

    async def rag(question: str) -> dict[str, Any]:
        passages = await retrieve(question)
        answer = await generate(question, passages)
        return {"answer": answer, "contexts": passages} if meant.returned else {"answer": answer}

    return wrap("root", "rag", rag)


def _async_agent(meant: Workload, wrap: Wrap) -> Callable[..., Any]:
    def tool(i: int) -> Callable[..., Any]:
        async def run(query: str, limit: int, filters: dict[str, Any]) -> Any:
            return Current.payload["tools"][i][1]

        return wrap("tool", f"tool_{i}", run)

    tools = [tool(i) for i in range(6)]

    async def agent(question: str) -> dict[str, Any]:
        for tool, (asked, _) in zip(tools, Current.payload["tools"], strict=True):
            if meant.keyword:
                await tool(**asked)
            else:
                await tool(asked["query"], asked["limit"], asked["filters"])
        return {"answer": Current.payload["answer"]}

    return wrap("root", "agent", agent)
