"""Retrievers inside tools: a shadow has the hits of a tool that it answered."""

import asyncio

from aa_rows import call, shape
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import create_retriever_tool
from langchain_core.tools import tool as langchain_tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from shadoweval import record_hits, retriever, tool

ASKED = (call("How?"), call("Why?"))


def documents(query, name, count=2):
    return [{"id": f"{name}{n}", "text": f"{query} {name} {n}", "score": 1.0 - n / 8} for n in range(count)]


@retriever()
def search(query, name="d"):
    return documents(query, name)


@retriever()
async def search_async(query, name="a"):
    await asyncio.sleep(0)
    return documents(query, name)


@retriever(replace=True)
def rerank(found):
    return found[::-1]


@retriever()
def nothing(query):
    return []


@tool(effect="read")
def look_up(query, name):
    return [hit["text"] for hit in search(query, name)]


@tool(effect="read")
def look_up_ranked(query):
    return [hit["text"] for hit in rerank(search(query, "e") + search(query, "f"))]


@tool(effect="read")
def look_up_by_hand(query):
    record_hits(documents(query, "h"))
    return "looked"


@tool(effect="read")
def look_up_twice(query):
    return look_up(query, "t") + look_up(query, "u")


@tool(effect="read")
async def look_up_async(query, name):
    return [hit["text"] for hit in await search_async(query, name)]


@tool(effect="read")
def look_up_in_pieces(query):
    for hit in search(query, "p"):
        yield hit["text"]
    yield look_up(query, "q")


@shape(*ASKED)
def of_ones_own(query):
    said = [look_up(query, "x"), look_up_twice(query), look_up_by_hand(query), list(look_up_in_pieces(query))]
    return str([*said, [hit["id"] for hit in search(query, "own")]])


@shape(*ASKED)
def reranked(query):
    return str(look_up_ranked(query))


@tool(effect="read")
def look_in_vain(query):
    return nothing(query)


@shape(*ASKED)
def that_found_nothing(query):
    return str(look_in_vain(query))


@shape(*ASKED)
async def awaited_side_by_side(query):
    return str(await asyncio.gather(*(look_up_async(query, name) for name in "xyz")))


class Shelf(BaseRetriever):
    prefix: str = "s"

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(hit["text"], id=hit["id"]) for hit in documents(query, self.prefix)]


shelf = create_retriever_tool(Shelf(), "shelf", "Search.")


@langchain_tool
def decorated_inside(query: str) -> str:
    """Search by a function of one's own."""
    return str(search(query, "i"))


@langchain_tool
def chained(query: str) -> str:
    """Search at the end of a chain."""
    return str((RunnableLambda(str.upper) | Shelf(prefix="c")).invoke(query))


@tool(effect="read")
def wrapped(query):
    return [found.page_content for found in Shelf(prefix="w").invoke(query)]


TOOLS = [shelf, decorated_inside, chained]


@shape(*ASKED)
def of_langchain(query):
    return str([*(one.invoke({"query": query}) for one in TOOLS), wrapped(query)])


def asking(state):
    """One tool after another: which of several is done first is chance, in production too."""
    messages = state["messages"]
    left = TOOLS[sum(message.type == "tool" for message in messages) :]
    calls = [{"name": one.name, "args": {"query": messages[0].content}, "id": one.name} for one in left[:1]]
    return {"messages": [AIMessage("", tool_calls=calls)]}


def graph():
    made = StateGraph(MessagesState)
    made.add_node("agent", asking)
    made.add_node("tools", ToolNode(TOOLS))
    made.add_edge(START, "agent")
    made.add_conditional_edges("agent", tools_condition)
    made.add_edge("tools", "agent")
    return made.compile()


AGENT = graph()


@shape(*ASKED)
def in_a_graph(query):
    return str([message.content for message in AGENT.invoke({"messages": [("user", query)]})["messages"]])


@shape(*ASKED)
async def in_a_graph_awaited(query):
    state = await AGENT.ainvoke({"messages": [("user", query)]})
    return str([message.content for message in state["messages"]])
