"""Calls what docs/decorate.md decorates, and prints as JSON what was mirrored: `python decorated.py SECTION ...`.

Runs in the folder that holds the page's files. What leaves the mirrors stays in memory, where it is read.
"""

import asyncio
import importlib
import json
import sys

import evals.support
from shadoweval import Experiment, Traffic
from shadoweval.testing import MemoryTransport, inputs_of

CALLS = 6  # of each sampled call one in twenty is left alone
QUESTION = "When do you open?"
written = evals.support.support


def experiment_of(section, transport):
    """The page's experiment, whose envelopes stay in memory; a breaker of its own looks at each section's few calls."""
    return Experiment(
        name=f"{written.name}-{section}",
        candidates=dict(written.candidates),
        gates=written.gates,
        scorers=written.scorers,
        traffic=Traffic(transport=transport),
    )


def a_function():
    rag, candidate = importlib.import_module("app.rag"), importlib.import_module("app.next").answer
    return lambda: rag.answer(QUESTION), candidate


def _posted(app, body):
    import httpx

    async def post():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            return (await client.post("/ask", json=body)).json()["answer"]

    return lambda: asyncio.run(post())


def fastapi():
    api = importlib.import_module("app.api")
    return _posted(api.app, {"text": QUESTION}), lambda question: {"answer": question.text}


def fastapi_service():
    service = importlib.import_module("app.service")
    return _posted(service.app, {"text": QUESTION}), lambda request: request["body"]["text"]


def flask():
    web = importlib.import_module("app.web")

    def post():
        return web.app.test_client().post("/ask", json={"text": QUESTION}).get_json()["answer"]

    return post, lambda question: question


def celery():
    tasks = importlib.import_module("app.tasks")
    tasks.app.conf.task_always_eager = True  # `.delay()` runs the task as a worker does, here
    return lambda: tasks.answer.delay(QUESTION).get(), lambda question: question


def langchain():
    chain = importlib.import_module("app.chain").chain
    return lambda: chain.invoke({"question": QUESTION}), lambda given, config=None: given["question"]


def langgraph():
    graph = importlib.import_module("app.graph").graph
    return lambda: graph.invoke({"question": QUESTION})["answer"], lambda state, config=None, **rest: state["question"]


def openai():
    llm = importlib.import_module("app.llm")
    messages = [{"role": "user", "content": QUESTION}]

    def complete():
        return llm.client.chat.completions.create(model="small", messages=messages).choices[0].message.content

    return complete, llm.candidate


def mcp():
    agent = importlib.import_module("app.agent")
    return lambda: agent.ask(QUESTION), lambda question: question


def vectors():
    vectors, warm = importlib.import_module("app.vectors"), importlib.import_module("app.warm")
    warm.load()
    experiment = importlib.import_module("evals.vectors").vectors
    return evals.support.support.mirror()(lambda question=QUESTION: vectors.answer(question)), lambda: experiment.name


def report(section):
    transport = MemoryTransport()
    evals.support.support = experiment_of(section, transport)
    try:
        call, candidate = globals()[section]()
    except ModuleNotFoundError as error:
        return {"missing": error.name}
    answers = [call() for _ in range(CALLS)]
    first = transport.envelopes[0]
    args, keywords = inputs_of(first.query)
    return {
        "answers": answers,
        "mirrored": len(transport.frames),
        "text": first.query.text,
        "answer": first.served.outcome.answer,
        "calls": [[made.name, made.effect] for made in first.served.tool_calls],
        "steps": [step.kind for step in first.served.steps],
        "attributes": dict(first.query.attributes),
        "candidate": str(candidate(*args, **keywords)),
    }


print(json.dumps({section: report(section) for section in sys.argv[1:]}))
