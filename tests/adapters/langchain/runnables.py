"""Graphs and chains of the tests, and ways to call them."""

import asyncio
import re
from typing import Annotated, TypedDict

from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    RunnableBranch,
    RunnableLambda,
    RunnablePassthrough,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from shadoweval.capture import retriever
from shadoweval.capture.recorder import current
from shadoweval.mirror.call import alone

SYNC = ("invoke", "stream", "batch")


ASYNC = ("ainvoke", "astream", "abatch", "astream_events")


class Docs(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(f"about {query}", id="d1"), Document("other", metadata={"_id": "d2"})]


@retriever
def find(query):
    return [{"id": "plain", "text": query, "score": 1.0}]


class State(TypedDict, total=False):
    q: str
    answer: str


def look_up(state):
    find(state["q"])
    asked, state["q"] = state["q"], "CHANGED"
    return {"answer": asked.upper()}


def build_graph():
    builder = StateGraph(State)
    builder.add_node("look_up", look_up)
    builder.add_node("polish", lambda state: {"answer": state["answer"] + "!"})
    builder.add_edge(START, "look_up")
    builder.add_edge("look_up", "polish")
    builder.add_edge("polish", END)
    return builder.compile()


def model(text="one two three"):
    return GenericFakeChatModel(messages=iter(lambda: AIMessage(text), None))


def build_chain():
    context = RunnablePassthrough.assign(context=RunnableLambda(lambda d: d["q"]) | Docs())
    prompt = ChatPromptTemplate.from_messages([("system", "{context}"), ("human", "{q}")])
    return context | prompt | model() | StrOutputParser()


def shout(asked):
    find(asked["q"])
    text, asked["q"] = asked["q"], "CHANGED"
    return text.upper()


MADE = {
    "graph": (build_graph, ["plain"]),
    "chain": (build_chain, ["d1", "d2"]),
    "lambda": (lambda: RunnableLambda(shout), ["plain"]),
    "branch": (lambda: RunnableBranch((lambda d: "q" in d, RunnableLambda(shout)), RunnableLambda(str)), ["plain"]),
}


def clean():
    return current.get() is None and not alone.get()


def shown(results):
    """Results as text, without the random ids that langchain_core gives to messages."""
    return re.sub(r"lc_run--[0-9a-f-]+", "", str(results))


def drive(runnable, how, questions):
    """What the entry method gives for each question; the caller's context must stay clean between chunks."""
    inputs = [{"q": question} for question in questions]

    async def driven():
        if how == "abatch":
            return await runnable.abatch(inputs)
        found = []
        for asked in inputs:
            if how == "ainvoke":
                found.append(await runnable.ainvoke(asked))
            elif how == "astream":
                chunks = []
                async for chunk in runnable.astream(asked):
                    assert clean()
                    chunks.append(chunk)
                found.append(chunks)
            else:
                events = [event async for event in runnable.astream_events(asked, version="v2")]
                found.append([(event["event"], event["name"], str(event["data"])) for event in events])
            assert clean()
        return found

    if how in ASYNC:
        return asyncio.run(driven())
    if how == "batch":
        return runnable.batch(inputs)
    if how == "invoke":
        return [runnable.invoke(asked) for asked in inputs]
    found = []
    for asked in inputs:
        chunks = []
        for chunk in runnable.stream(asked):
            assert clean()
            chunks.append(chunk)
        found.append(chunks)
    return found


class BoomError(Exception):
    pass


class Chat(TypedDict):
    messages: Annotated[list, add_messages]


def build_chat(chat_model):
    builder = StateGraph(Chat)
    builder.add_node("model", lambda state: {"messages": [chat_model.invoke(state["messages"])]})
    builder.add_edge(START, "model")
    return builder.compile(checkpointer=InMemorySaver())
