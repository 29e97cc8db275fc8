"""The chat model by environment, and the offline models' side of LangChain's interface."""

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from pipelines.chat_model import DEFAULT_MODEL, OfflinePlanner, OfflineReader, chat_model
from pipelines.offline_model import UNKNOWN, best_sentences
from pipelines.support_agent import PLAN

TEXT = "Goods can be returned within 30 days. Shipping costs 4.90 EUR in Germany. Gift cards are valid for 3 years."


class FakeOpenAI(BaseHTTPRequestHandler):
    """Answers chat completions: a tool call for the first question with tools, else an echo."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append((self.path, self.headers.get("authorization"), body))
        last = body["messages"][-1]
        message = {"role": "assistant", "content": f"echo: {last['content']}"}
        if body.get("tools") and last["role"] == "user":
            function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"word": "hi"}'}
            message = {"role": "assistant", "content": None,
                       "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}  # fmt: skip
        answer = json.dumps({
            "id": "c1", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@contextmanager
def fake_openai():
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeOpenAI)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@tool
def spell(word: str) -> str:
    """Spell a word."""
    return "-".join(word)


@pytest.fixture
def offline(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def planner():
    return OfflinePlanner(plan=PLAN).bind_tools([_look_up_order])


@tool("look_up_order")
def _look_up_order(order_id: str) -> str:
    """Look up an order."""
    return order_id


def test_without_a_key_the_model_is_offline_and_says_so(offline):
    """Both offline models name themselves offline wherever a report may look, and never as a language model."""
    for model in (chat_model(), chat_model(plan=PLAN)):
        said = model.invoke("Hello?")
        assert model._llm_type == "offline"
        assert said.response_metadata["model_name"].startswith("offline-")
        assert model._get_ls_params()["ls_provider"] == "offline"
        assert model._identifying_params == {"model_name": model.model_name}


def test_the_plan_decides_between_reader_and_planner(offline):
    """With a plan the offline model uses tools, without one it reads; the embedder goes to the reader."""
    embedder = Concepts()
    assert isinstance(chat_model(plan=PLAN), OfflinePlanner)
    reader = chat_model(embedder=embedder)
    assert isinstance(reader, OfflineReader)
    assert reader.embedder is embedder


def test_a_key_chooses_the_endpoint_of_the_environment(monkeypatch):
    """Key, address and model name come from the environment, and tool calls come back as LangChain's."""
    with fake_openai() as (server, url):
        monkeypatch.setenv("OPENAI_API_KEY", "k1")
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_MODEL", "local-7b")
        model = chat_model(plan=PLAN, timeout=10).bind_tools([spell])
        asked = model.invoke([HumanMessage("spell hi")])
        result = spell.invoke(asked.tool_calls[0])
        told = model.invoke([HumanMessage("spell hi"), asked, result])
    assert (asked.tool_calls[0]["name"], asked.tool_calls[0]["args"]) == ("spell", {"word": "hi"})
    assert told.text == "echo: h-i"
    assert told.usage_metadata["total_tokens"] == 10
    assert [(path, key, body["model"], body["temperature"]) for path, key, body in server.seen] == [
        ("/v1/chat/completions", "Bearer k1", "local-7b", 0)
    ] * 2


def test_an_address_alone_is_enough_for_a_local_server(monkeypatch, offline):
    """Servers that want no key get the default model's name; settings given in code win."""
    with fake_openai() as (server, url):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        assert chat_model().invoke("ping").text == "echo: ping"
        chat_model(model="other", temperature=0.5).invoke("ping")
    assert [(body["model"], body["temperature"]) for _, _, body in server.seen] == [
        (DEFAULT_MODEL, 0), ("other", 0.5)
    ]  # fmt: skip


class Concepts:
    """An embedder that knows that posting a parcel is shipping, which no shared word tells."""

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        words = text.lower()
        return [float(any(w in words for w in ws)) for ws in (("ship", "post"), ("return",), ("gift", "voucher"))]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How much is shipping to Germany?", "Shipping costs 4.90 EUR in Germany."),
        ("How long are gift cards valid?", "Gift cards are valid for 3 years."),
        ("Who won the match yesterday?", UNKNOWN),
    ],
)
def test_the_reader_answers_with_the_sentence_that_fits(question, answer):
    """By word overlap it takes the fitting sentence of the system message, and says when none fits."""
    assert OfflineReader().invoke([SystemMessage(TEXT), HumanMessage(question)]).text == answer


def test_an_embedder_finds_what_shares_no_word():
    """By meaning, "Postage?" is answered by the sentence on shipping; by words, nothing fits."""
    asked = [SystemMessage(TEXT), HumanMessage("Postage?")]
    assert OfflineReader(embedder=Concepts()).invoke(asked).text == "Shipping costs 4.90 EUR in Germany."
    assert OfflineReader().invoke(asked).text == UNKNOWN


def test_the_reader_reads_tools_and_the_text_before_the_question():
    """Tool results of this turn and a "Context ... Question:" prompt are text to read; older turns are not."""
    reader = OfflineReader()
    called = AIMessage("", tool_calls=[{"name": "search", "args": {}, "id": "1"}])
    question = HumanMessage("How long are gift cards valid?")
    found = ToolMessage(TEXT, tool_call_id="1")
    assert "3 years" in reader.invoke([question, called, found]).text
    assert reader.invoke([question, called, found, AIMessage("x"), question]).text == UNKNOWN
    assert "3 years" in reader.invoke(f"Context:\n{TEXT}\n\nQuestion: how long are gift cards valid?").text


@given(st.text(), st.text())
def test_the_reader_never_words_anything_itself(question, text):
    """Whatever is asked, each part of the answer stands in the text."""
    answer = best_sentences(question, text, most=1)
    assert answer == UNKNOWN or answer in text


@pytest.mark.parametrize("question", ["Where is order K-10012?", "Hello?"])
def test_sync_async_and_streams_say_the_same(planner, question):
    """`invoke`, `ainvoke`, `stream` and `astream` give the same text, tool calls, call ids and usage."""
    asked = [HumanMessage(f"Customer: a@b.example\n{question}")]

    async def collect():
        return await planner.ainvoke(asked), [chunk async for chunk in planner.astream(asked)]

    one = planner.invoke(asked)
    two, late = asyncio.run(collect())
    streams = [list(planner.stream(asked)), late]
    merged = [sum(chunks[1:], chunks[0]) for chunks in streams]
    for message in (two, *merged):
        assert (message.text, message.tool_calls, message.usage_metadata) == (
            one.text, one.tool_calls, one.usage_metadata
        )  # fmt: skip
    assert one.tool_calls or all(len(chunks) > 2 for chunks in streams)


def test_usage_is_the_stated_estimate(planner):
    """Four characters a token for text, eight tokens for a tool call."""
    asked = HumanMessage("Customer: a@b.example\nWhere is order K-10012?")
    usage = planner.invoke([asked]).usage_metadata
    read = len(asked.text) // 4
    assert usage == {"input_tokens": read, "output_tokens": 8, "total_tokens": read + 8}
