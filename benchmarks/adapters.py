"""What the adapters add to the framework's own cost in async code, as a ratio in one run.

    python -m benchmarks.adapters [rounds]

Each row runs a pipeline as it is and mirrored, in turns, on one loop, and compares CPU seconds a call (the median of
the rounds' ratios). The models are fakes that answer at once, so that what is left is the framework: a real model makes
every ratio smaller. Envelopes go the way that they go in production.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypedDict

from fastapi import FastAPI
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

from shadoweval.adapters.asgi import Route, ShadowASGI
from shadoweval.adapters.langchain import ShadowMiddleware, mirrored
from shadoweval.mirror import Mirror
from shadoweval.transport import open_transport

BAR = 0.15
Run = Callable[[], Awaitable[object]]


class Docs(BaseRetriever):
    def _get_relevant_documents(self, query, **_manager):
        return [Document(f"document {n} about {query}", id=f"d{n}") for n in range(5)]


class Model(GenericFakeChatModel):
    def bind_tools(self, _tools, **_kwargs):
        return self


class Question(BaseModel):
    question: str


class State(TypedDict, total=False):
    question: str
    docs: list
    answer: str


@tool
def look_up(item: str) -> str:
    """Look an item up."""
    return f"7 of {item}"


def chain():
    def joined(docs):
        return "\n".join(doc.page_content for doc in docs)

    context = {"context": Docs() | RunnableLambda(joined), "question": RunnablePassthrough()}
    model = Model(messages=iter(lambda: AIMessage("an answer"), None))
    return context | ChatPromptTemplate.from_template("{context}\n{question}") | model | StrOutputParser()


def graph():
    docs, model = Docs(), Model(messages=iter(lambda: AIMessage("an answer"), None))

    async def retrieve(state):
        return {"docs": [doc.page_content for doc in await docs.ainvoke(state["question"])]}

    async def answer(state):
        return {"answer": (await model.ainvoke("\n".join(state["docs"]))).content}

    builder = StateGraph(State)
    builder.add_node("retrieve", retrieve)
    builder.add_node("answer", answer)
    builder.add_edge(START, "retrieve")
    builder.add_edge("retrieve", "answer")
    builder.add_edge("answer", END)
    return builder.compile()


def agent(middleware=()):
    def replies():
        while True:
            yield AIMessage("", tool_calls=[{"name": "look_up", "args": {"item": "bolts"}, "id": "c1"}])
            yield AIMessage("there are 7")

    return create_agent(Model(messages=replies()), [look_up], middleware=middleware)


def openai_agent():
    """An agent with the SDK's own work, answered without a network."""
    import httpx2
    from langchain_openai import ChatOpenAI

    usage = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"item": "bolts"}'}}

    def answer(request):
        tools = b'"role":"tool"' in request.content
        message = {"role": "assistant", "content": "there are 7" if tools else None}
        if not tools:
            message["tool_calls"] = [call]
        choice = {"index": 0, "message": message, "finish_reason": "stop" if tools else "tool_calls"}
        body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        return httpx2.Response(200, json=body)

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    return create_agent(ChatOpenAI(model="m", api_key="k", base_url="http://m", http_async_client=client), [look_up])


def fastapi_app():
    made = FastAPI()

    @made.post("/ask")
    async def ask(body: Question):
        return {"answer": body.question.upper()}

    return made


def request(target) -> Run:
    body = {"type": "http.request", "body": b'{"question": "why"}', "more_body": False}
    headers = [(b"content-type", b"application/json"), (b"content-length", b"19"), (b"host", b"x")]

    async def receive():
        return body

    async def send(message):
        pass

    async def run():
        scope = {"type": "http", "method": "POST", "path": "/ask", "raw_path": b"/ask", "headers": headers}
        scope |= {"query_string": b"", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}
        await target({**scope, "root_path": "", "client": None, "server": ("x", 80)}, receive, send)

    return run


def streamed(runnable, asked) -> Run:
    async def run():
        async for _ in runnable.astream(asked):
            pass

    return run


def in_async(runnable, asked) -> Run:
    async def run():
        return runnable.invoke(asked)

    return run


def rows(mirror: Mirror) -> dict[str, tuple[Run, Run]]:
    """Name -> the pipeline as it is, and mirrored."""
    ask, messages = {"question": "why"}, {"messages": [("user", "how many bolts")]}
    lcel, compiled, made = chain(), graph(), agent()
    mine, ours, theirs = mirrored(lcel, mirror), mirrored(compiled, mirror), mirrored(made, mirror)
    real = openai_agent()
    shadowed = mirrored(real, mirror)
    inside = agent([ShadowMiddleware(mirror)])
    web = fastapi_app()
    return {
        "LCEL chain, invoke": (in_async(lcel, "why"), in_async(mine, "why")),
        "LCEL chain, ainvoke": (lambda: lcel.ainvoke("why"), lambda: mine.ainvoke("why")),
        "LCEL chain, astream": (streamed(lcel, "why"), streamed(mine, "why")),
        "graph, ainvoke": (lambda: compiled.ainvoke(ask), lambda: ours.ainvoke(ask)),
        "graph, astream": (streamed(compiled, ask), streamed(ours, ask)),
        "create_agent, ainvoke": (lambda: made.ainvoke(messages), lambda: theirs.ainvoke(messages)),
        "create_agent, ChatOpenAI, ainvoke": (lambda: real.ainvoke(messages), lambda: shadowed.ainvoke(messages)),
        "create_agent, ShadowMiddleware": (lambda: made.ainvoke(messages), lambda: inside.ainvoke(messages)),
        "FastAPI route": (request(web), request(ShadowASGI(web, mirror, routes=[Route(path="/ask")]))),
    }


async def seconds(run: Run, calls: int) -> float:
    """CPU seconds a call."""
    began = time.process_time()
    for _ in range(calls):
        await run()
    return (time.process_time() - began) / calls


async def measured(plain: Run, shadowed: Run, *, rounds: int, calls: int = 2) -> tuple[float, float]:
    """CPU seconds a call as it is, and the share that mirroring adds."""
    for run in (plain, shadowed):
        await seconds(run, 30)
    gc.collect()
    gc.freeze()
    found = [(await seconds(plain, calls), await seconds(shadowed, calls)) for _ in range(rounds)]
    return statistics.median(a for a, _ in found), statistics.median(b / a - 1 for a, b in found)


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        mirror = Mirror("adapters", open_transport(Path(folder) / "spool"), control=0.0, text=lambda *_a, **_k: "q")
        print(f"{'pipeline':<34}{'own, us':>10}{'added':>9}   bar {BAR}x")
        for name, (plain, shadowed) in rows(mirror).items():
            own, added = await measured(plain, shadowed, rounds=rounds)
            print(f"{name:<34}{own * 1e6:>10.0f}{added:>8.3f}x   {'ok' if added <= BAR else 'OVER'}", flush=True)
        print(mirror.outlet.ledger.main.snapshot())
        mirror.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
