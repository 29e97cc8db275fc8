"""An agent behind a factory with middleware of its own, as teams share them."""

from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver


@tool
def search_wiki(query: str) -> str:
    """Search the company wiki."""
    return f"wiki page about {query}"


def build_agent():
    middleware = [ModelCallLimitMiddleware(run_limit=5)]
    model = ChatOpenAI(model="gpt-4o-mini")
    return create_agent(model, [search_wiki], middleware=middleware, checkpointer=InMemorySaver())


async def converse(thread, *questions):
    agent = build_agent()
    answers = []
    for question in questions:
        state = await agent.ainvoke({"messages": [("user", question)]}, {"configurable": {"thread_id": thread}})
        answers.append(state["messages"][-1].content)
    return answers
