"""Tools of LangChain's that give more than a text."""

import asyncio
from typing import Annotated

from aa_rows import call, shape
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import InjectedToolCallId, StructuredTool, ToolException, create_retriever_tool, tool
from langgraph.types import Command

ASKED = (call("How?"), call("Why?"))


def asked(one, query, number=0):
    return {"type": "tool_call", "name": one.name, "id": f"call-{number}", "args": {"query": query}}


def said(message):
    """All that a caller of a tool can read."""
    return repr(message.model_dump() if isinstance(message, ToolMessage) else message)


@tool(response_format="content_and_artifact")
def searched(query: str) -> tuple[str, list[dict]]:
    """Search."""
    return f"two hits for {query}", [{"id": "d1", "score": 0.5}, {"id": "d2", "score": 0.25}]


@tool(response_format="content_and_artifact")
async def searched_later(query: str) -> tuple[list[dict], dict]:
    """Search."""
    return [{"type": "text", "text": query}], {"page": Document(f"about {query}", id="d3")}


def look(query: str) -> tuple[str, Document]:
    """Look."""
    return query.upper(), Document(query, metadata={"n": 1})


structured = StructuredTool.from_function(look, response_format="content_and_artifact")


@shape(*ASKED)
async def with_artifacts(query):
    replies = [searched.invoke(asked(searched, query)), searched.invoke({"query": query})]
    replies += [structured.invoke(asked(structured, query, 1)), structured.invoke({"query": query})]
    replies += [await structured.ainvoke(asked(structured, query, 2))]
    replies += await asyncio.gather(*(searched_later.ainvoke(asked(searched_later, query, n)) for n in range(3)))
    return "\n".join([*map(said, replies), str(replies[0].artifact[1]["id"])])


@tool
def labelled(query: str, call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
    """A message of one's own."""
    return ToolMessage(
        query, tool_call_id=call_id, additional_kwargs={"k": query}, id="m-1", name="other", artifact=[query]
    )


@tool
def refused(query: str, call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
    """A message that says that it failed."""
    return ToolMessage(
        [{"type": "text", "text": f"no {query}"}], tool_call_id=call_id, status="error", artifact={"code": 4}
    )


@tool
def commanding(query: str, call_id: Annotated[str, InjectedToolCallId]) -> Command:
    """A command."""
    return Command(update={"seen": [query], "messages": [ToolMessage(query, tool_call_id=call_id)]}, goto="next")


@tool
def several(query: str, call_id: Annotated[str, InjectedToolCallId]) -> list:
    """A command and a message."""
    return [
        Command(update={"messages": [ToolMessage(query, tool_call_id=call_id)]}),
        ToolMessage("b", tool_call_id=call_id),
    ]


@tool
def blocks(query: str) -> list:
    """Content blocks."""
    return [{"type": "text", "text": query}, {"type": "text", "text": "b"}]


@tool
def failing(query: str) -> str:
    """Fails."""
    raise ToolException(f"no {query}")


failing.handle_tool_error = True


@shape(*ASKED)
def of_ones_own(query):
    tools = (labelled, refused, commanding, several, blocks, failing)
    return "\n".join(said(one.invoke(asked(one, query, number))) for number, one in enumerate(tools))


@shape(*ASKED)
async def of_ones_own_awaited(query):
    tools = (labelled, refused, commanding, several, blocks, failing)
    replies = [await one.ainvoke(asked(one, query, number)) for number, one in enumerate(tools)]
    return "\n".join(map(said, replies))


class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(f"{query} {n}", id=f"d{n}") for n in range(2)]


shelf = create_retriever_tool(Shelf(), "shelf", "Search.", response_format="content_and_artifact")


@shape(*ASKED)
def of_a_retriever(query):
    return said(shelf.invoke(asked(shelf, query)))
