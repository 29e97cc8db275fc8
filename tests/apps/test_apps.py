"""Each app is mirrored by at most three changed lines, and behaves as before."""

import asyncio

import httpx
import pytest

from shadoweval.testing import inputs_of

IMPORTS = "from evaluation import support\nfrom shadoweval.adapters.{} import {}\n"


def inputs(envelope):
    return inputs_of(envelope.query)


def test_rag_chain(app):
    """LCEL: hits, tokens and answer of each question, called or streamed."""
    mount = "chain = mirrored(chain, support.mirror(control=0.0))"
    made = app(
        "rag_chain",
        ("NOTES = [", IMPORTS.format("langchain", "mirrored") + "NOTES = ["),
        ("def ask(question):", f"{mount}\ndef ask(question):"),
    )
    assert len(made.changed) <= 3
    question = "what about dark mode"
    assert made.mirrored.ask(question) == made.plain.ask(question)
    assert made.mirrored.ask_streaming(question) == made.plain.ask_streaming(question)
    whole, streamed = made.envelopes
    assert inputs(whole) == inputs(streamed) == ((question,), {})
    assert len(whole.served.outcome.hits) == len(streamed.served.outcome.hits) == 2
    assert whole.served.outcome.answer == streamed.served.outcome.answer == made.plain.ask(question)
    assert whole.served.usage.output_tokens > 0
    assert streamed.served.first_chunk is not None


def test_memory_graph(app):
    """A graph with a checkpointer: each turn is a query of its thread, and the memory is the graph's own."""
    made = app(
        "memory_graph",
        ("model = ChatOpenAI", IMPORTS.format("langchain", "mirrored") + "model = ChatOpenAI"),
        (
            "graph = builder.compile(checkpointer=InMemorySaver())",
            "graph = mirrored(builder.compile(checkpointer=InMemorySaver()), support.mirror(control=0.0))",
        ),
    )
    assert len(made.changed) <= 3
    for module in (made.plain, made.mirrored):
        module.chat("a", "hello")
        module.chat("a", "again")
        module.chat("b", "other")
    assert made.mirrored.history("a") == made.plain.history("a")
    assert [(e.query.unit, e.query.text) for e in made.envelopes] == [("a", "hello"), ("a", "again"), ("b", "other")]
    assert made.envelopes[1].served.outcome.answer == "echo: again"


def test_support_agent(app):
    """create_agent: the tool call with its result, both model calls, sync and streamed async."""
    made = app(
        "support_agent",
        ("ORDERS = {", IMPORTS.format("langchain", "mirrored") + "ORDERS = {"),
        ("def answer(question):", "agent = mirrored(agent, support.mirror(control=0.0))\ndef answer(question):"),
    )
    assert len(made.changed) <= 3
    question = "where is order 17"
    assert made.mirrored.answer(question) == made.plain.answer(question)
    assert made.mirrored.answer_async(question) == made.plain.answer_async(question) == ["model", "tools", "model"]
    for envelope in made.envelopes:
        (call,) = envelope.served.outcome.tool_calls
        assert (call.name, call.arguments) == ("look_up_order", {"question": question})
        assert call.result == "order 17 left the warehouse on Monday"
        assert sum(step.kind == "model" for step in envelope.served.steps) == 2
        assert envelope.query.text == question
        assert envelope.served.outcome.answer == "echo: order 17 left the warehouse on Monday"


def test_function_calling(app):
    """A plain loop: one query a conversation, its model calls with tokens, its tool call with the result."""
    made = app(
        "function_calling",
        (
            "client = OpenAI()",
            "from evaluation import support; from shadoweval.adapters.openai import watch\nclient = watch(OpenAI())",
        ),
        ("def run_conversation", "@support.mirror(control=0.0)\ndef run_conversation"),
    )
    assert len(made.changed) <= 3
    assert made.mirrored.run_conversation("Oslo") == made.plain.run_conversation("Oslo")
    (envelope,) = made.envelopes
    assert inputs(envelope) == (("Oslo",), {})
    (call,) = envelope.served.outcome.tool_calls
    assert (call.name, call.arguments) == ("get_weather", {"place": "Oslo"})
    assert call.result == "12 degrees and rain in Oslo"
    assert [step.name for step in envelope.served.steps if step.kind == "model"] == ["gpt-4o-mini"] * 2


async def _asked(app, question):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as browser:
        health = await browser.get("/health")
        answer = await browser.post("/chat", json={"question": question, "user": "u1"})
    return health.json(), answer.status_code, answer.headers["content-type"], answer.text


def test_fastapi_chat(app):
    """A streaming endpoint: the words are the answer, the model call inside is recorded, other routes are not."""
    imports = "from evaluation import support; from shadoweval.adapters.asgi import Route, ShadowASGI"
    watched = "from shadoweval.adapters.openai import watch; client = watch(AsyncOpenAI())"
    mount = 'app.add_middleware(ShadowASGI, support.mirror(control=0.0), routes=[Route(path="/chat")])'
    made = app(
        "fastapi_chat",
        ("client = AsyncOpenAI()", f"{imports}\n{watched}"),
        ("class Question", f"{mount}\nclass Question"),
    )
    assert len(made.changed) <= 3

    async def run(module):
        try:
            return await _asked(module.app, "how are you")
        finally:
            await module.client.close()

    plain = asyncio.run(run(made.plain))
    assert asyncio.run(run(made.mirrored)) == plain
    (envelope,) = made.envelopes
    (request,), _ = inputs(envelope)
    assert request["body"] == {"question": "how are you", "user": "u1"}
    outcome = envelope.served.outcome
    assert (envelope.query.text, outcome.answer, outcome.chunks) == ("how are you", "echo: how are you", 4)
    assert [step.name for step in envelope.served.steps] == ["gpt-4o-mini"]


def test_gather_service(app, server):
    """Many requests at once: one query each, failures among them, none of them mixed up."""
    made = app(
        "gather_service",
        (
            "class Summarizer",
            "from evaluation import support; from shadoweval.adapters.openai import mirrored_client\nclass Summarizer",
        ),
        (
            "self.client = AsyncOpenAI(max_retries=0)",
            "self.client = mirrored_client(AsyncOpenAI(max_retries=0), support.mirror(control=0.0))",
        ),
    )
    assert len(made.changed) <= 3
    tickets = [f"ticket {n}" for n in range(12)]
    assert asyncio.run(made.mirrored.main(tickets)) == asyncio.run(made.plain.main(tickets))
    server.faults.append(500)
    found = asyncio.run(made.mirrored.main(["broken"]))
    assert type(found[0]).__name__ == "InternalServerError"
    *good, bad = made.envelopes
    assert {e.query.text: e.served.outcome.answer for e in good} == {t: f"echo: {t}" for t in tickets}
    assert bad.served.failure.error_type == "InternalServerError"


def test_starlette_search(app):
    """A mounted route with parameters and a query string; a function declared as a retriever gives the hits."""
    imports = "from evaluation import support; from shadoweval import retriever; from shadoweval.adapters import asgi"
    mount = 'app = asgi.ShadowASGI(app, support.mirror(control=0.0), routes=[asgi.Route(path="/v1/search/{index}")])'
    end = 'app = Starlette(routes=[Mount("/v1", routes=[Route("/search/{index}", handle, methods=["POST"])])])'
    made = app(
        "starlette_search",
        ("DOCUMENTS = {", f"{imports}\nDOCUMENTS = {{"),
        ("def search(", "@retriever\ndef search("),
        (end, f"{end}\n{mount}"),
    )
    assert len(made.changed) <= 3

    async def run(module):
        transport = httpx.ASGITransport(app=module.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as browser:
            return (await browser.post("/v1/search/docs?limit=1", json={"query": "sorting a list"})).json()

    assert asyncio.run(run(made.mirrored)) == asyncio.run(run(made.plain))
    (envelope,) = made.envelopes
    (request,), _ = inputs(envelope)
    assert (request["path"], request["query"]) == ("/v1/search/docs", {"limit": ["1"]})
    assert [hit.id for hit in envelope.served.outcome.hits] == ["d1"]
    assert envelope.served.outcome.answer == "sorting a list in place with list.sort"


def test_guarded_agent(app):
    """As a middleware among others: one query a turn, with the thread's history before it as its input."""
    made = app(
        "guarded_agent",
        ("def build_agent", IMPORTS.format("langchain", "ShadowMiddleware") + "def build_agent"),
        ("middleware = [Model", "middleware = [ShadowMiddleware(support.mirror(control=0.0)), Model"),
    )
    assert len(made.changed) <= 3
    answers = asyncio.run(made.mirrored.converse("t1", "holidays", "payroll"))
    assert answers == asyncio.run(made.plain.converse("t1", "holidays", "payroll"))
    first, second = made.envelopes
    assert [e.query.unit for e in made.envelopes] == ["t1", "t1"]
    assert [m.content for m in inputs(first)[0][0]["messages"]] == ["holidays"]
    assert [m.content for m in inputs(second)[0][0]["messages"]][-1] == "payroll"
    assert len(inputs(second)[0][0]["messages"]) == 5
    assert [(c.name, c.arguments) for c in second.served.outcome.tool_calls] == [("search_wiki", {"query": "payroll"})]
    assert second.served.outcome.answer == answers[1]
    assert sum(step.kind == "model" for step in second.served.steps) == 2


def test_an_agent_that_fails_in_a_middleware_is_a_failure(app, server):
    """An error of the model ends the turn as a failure, and reaches the caller."""
    made = app(
        "guarded_agent",
        ("def build_agent", IMPORTS.format("langchain", "ShadowMiddleware") + "def build_agent"),
        ("middleware = [Model", "middleware = [ShadowMiddleware(support.mirror(control=0.0)), Model"),
        ('ChatOpenAI(model="gpt-4o-mini")', 'ChatOpenAI(model="gpt-4o-mini", max_retries=0)'),
    )
    server.faults.append(500)
    with pytest.raises(Exception, match="injected 500") as caught:
        asyncio.run(made.mirrored.converse("t1", "holidays"))
    (envelope,) = made.envelopes
    assert envelope.served.failure.error_type == type(caught.value).__name__
