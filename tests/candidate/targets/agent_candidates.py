"""LangChain and LangGraph agents that call tools in every way in which tools get called."""

import asyncio
import json
import threading
from typing import Any

from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.documents import Document
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command


class Planner(BaseChatModel):
    """Calls the tools that the question lists as JSON, one after the other, then says what they answered."""

    @property
    def _llm_type(self):
        return "planner"

    def bind_tools(self, tools, **settings):
        return self.bind(**settings)

    def _generate(self, messages, stop=None, run_manager=None, **settings):
        plan = json.loads(next(m for m in reversed(messages) if isinstance(m, HumanMessage)).text)
        done = [m for m in messages if isinstance(m, ToolMessage)]
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        if len(done) < len(plan):
            name, arguments = plan[len(done)]
            message = AIMessage(
                "", tool_calls=[{"name": name, "args": arguments, "id": f"call-{len(done)}"}], usage_metadata=usage
            )
        else:
            message = AIMessage("; ".join(f"{m.status}:{m.text}" for m in done), usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])


def leave_mark(name):
    raise AssertionError(f"{name} ran for real")


@tool
def send_email(body: str, to: str = "shop") -> str:
    """Send an e-mail."""
    return leave_mark("send_email")


@tool
async def charge(body: str) -> str:
    """Charge a card."""
    return leave_mark("charge")


@tool(response_format="content_and_artifact")
def pay(body: str, runtime: ToolRuntime) -> tuple[str, dict[str, Any]]:
    """Pay."""
    return leave_mark("pay"), {}


@tool
def remember(body: str, runtime: ToolRuntime) -> Command:
    """Change the agent's state."""
    return leave_mark("remember")


def _look(order: str, fields: int = 3) -> dict[str, Any]:
    """Look up an order."""
    return {"order": order, "fields": fields, "live": True}


look = StructuredTool.from_function(_look, name="look", metadata={"effect": "read"})


def _picky(order: str) -> str:
    """Fails with a message for the model."""
    raise ToolException("no such order, really")


picky = StructuredTool.from_function(_picky, name="picky", handle_tool_error=True, tags=["read"])


class Parcel(BaseTool):
    name: str = "parcel"
    description: str = "A tool class of its own."

    def _run(self, number: int) -> str:
        return leave_mark("parcel")


class Express(Parcel):
    name: str = "express"

    def _run(self, number: int) -> str:
        return super()._run(number)


TOOLS = [send_email, charge, pay, remember, look, picky, Parcel(), Express()]
agent = create_agent(Planner(), TOOLS)


class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document("a page", id="d1"), Document("another", id="d2")]


def _caught(call, *args):
    try:
        return str(call(*args))
    except Exception as error:
        return type(error).__name__


def by_closure(state):
    """A node that calls a tool itself."""
    return {"messages": [AIMessage(_caught(send_email.invoke, {"body": "from a closure"}))]}


def in_thread(state):
    """A node that calls a tool in a raw thread."""
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(_caught(send_email.invoke, {"body": "from a thread"})))
    thread.start()
    thread.join()
    return {"messages": [AIMessage(outcomes[0])]}


async def by_coroutine(state):
    """A node that awaits a tool."""
    try:
        return {"messages": [AIMessage(str(await charge.ainvoke({"body": "awaited"})))]}
    except Exception as error:
        return {"messages": [AIMessage(type(error).__name__)]}


def by_hand(state):
    """A node that calls `_run` and the function below the decorator's tool object."""
    return {"messages": [AIMessage(_caught(Express()._run, 1))]}


graph = StateGraph(MessagesState)
graph.add_node("agent", agent)
for node in (by_closure, in_thread, by_coroutine, by_hand):
    graph.add_node(node.__name__, node)
graph.add_edge(START, "agent")
graph.add_edge("agent", "by_closure")
graph.add_edge("by_closure", "in_thread")
graph.add_edge("in_thread", "by_coroutine")
graph.add_edge("by_coroutine", "by_hand")
graph.add_edge("by_hand", END)
nested = graph.compile()


def synchronous(question):
    """The agent in sync code, with documents from a retriever."""
    Shelf().invoke(question)
    return agent.invoke({"messages": [HumanMessage(question)]})["messages"][-1].text


def in_a_loop(question):
    """The agent in a loop of its own."""
    return asyncio.run(agent.ainvoke({"messages": [HumanMessage(question)]}))["messages"][-1].text


async def ways(way, question):
    """One of the ways, so that the tests share one import."""
    if way == "asynchronous":
        return (await agent.ainvoke({"messages": [HumanMessage(question)]}))["messages"][-1].text
    if way == "parallel":
        states = await asyncio.gather(*(agent.ainvoke({"messages": [HumanMessage(question)]}) for _ in range(5)))
        return " | ".join(state["messages"][-1].text for state in states)
    if way == "nested":
        state = await nested.ainvoke({"messages": [HumanMessage(question)]})
        return " | ".join(message.text for message in state["messages"] if message.type == "ai" and message.text)
    return await asyncio.to_thread({"synchronous": synchronous, "in_a_loop": in_a_loop}[way], question)
