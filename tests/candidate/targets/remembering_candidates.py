"""Graphs and chains that remember."""

import asyncio
from pathlib import Path

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage, messages_from_dict, messages_to_dict
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_store
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.store.memory import InMemoryStore


def reply(state):
    store = get_store()
    notes = len(store.search(("notes",), limit=1000))
    store.put(("notes",), f"n{notes}", {"said": state["messages"][-1].text})
    return {"messages": [AIMessage(f"{len(state['messages'])} messages, {notes} notes")]}


builder = StateGraph(MessagesState)
builder.add_node("reply", reply)
builder.add_edge(START, "reply")
builder.add_edge("reply", END)
saver, store = InMemorySaver(), InMemoryStore()
graph = builder.compile(checkpointer=saver, store=store)
CONFIG = {"configurable": {"thread_id": "user-1"}}


def say(text):
    return graph.invoke({"messages": [HumanMessage(text)]}, CONFIG)["messages"][-1].text


def two_turns():
    """What production did before the query: two turns."""
    say("first")
    say("second")


def _sizes():
    return f"{len(list(saver.list(CONFIG)))} checkpoints {len(store.search(('notes',), limit=1000))} notes"


def converses(question):
    answers = [say(question), say(question)]
    state = graph.get_state(CONFIG).values["messages"]
    graph.update_state(CONFIG, {"messages": [HumanMessage("noted")]})
    after = graph.get_state(CONFIG).values["messages"]
    return f"{answers} | {len(state)} then {len(after)} | {_sizes()}"


async def converses_async(question):
    state_after = await graph.ainvoke({"messages": [HumanMessage(question)]}, CONFIG)
    chunks = [c async for c in graph.astream({"messages": [HumanMessage(question)]}, CONFIG)]
    state = await graph.aget_state(CONFIG)
    return f"{state_after['messages'][-1].text} | {len(chunks)} | {len(state.values['messages'])} | {_sizes()}"


def in_a_loop(question):
    return asyncio.run(converses_async(question))


class FileHistory(BaseChatMessageHistory):
    def __init__(self, path):
        self.path = Path(path)

    @property
    def messages(self):
        import json

        return messages_from_dict(json.loads(self.path.read_text())) if self.path.exists() else []

    def add_messages(self, messages):
        import json

        self.path.write_text(json.dumps(messages_to_dict([*self.messages, *messages])))

    def clear(self):
        self.path.unlink()


def chats(path, question):
    model = RunnableLambda(lambda messages: AIMessage(f"{len(messages)} messages"))
    chain = RunnableWithMessageHistory(model, FileHistory)  # deprecated, and still in many programs
    config = {"configurable": {"session_id": path}}
    return f"{chain.invoke(question, config).text} {chain.invoke(question, config).text}"


def ways(way, *arguments):
    """One of the ways, so that the tests share one import."""
    return {"converses": converses, "in_a_loop": in_a_loop, "chats": chats}[way](*arguments)
