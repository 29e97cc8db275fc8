"""An agent that looks orders up."""

import asyncio

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

ORDERS = {"where is order 17": "order 17 left the warehouse on Monday"}


@tool
def look_up_order(question: str) -> str:
    """Find the state of an order."""
    return ORDERS.get(question, "no such order")


agent = create_agent(
    model=ChatOpenAI(model="gpt-4o-mini"),
    tools=[look_up_order],
    system_prompt="You help customers with their orders.",
)


def answer(question):
    result = agent.invoke({"messages": [{"role": "user", "content": question}]})
    return result["messages"][-1].content


def answer_async(question):
    async def run():
        parts = []
        async for chunk in agent.astream({"messages": [("user", question)]}, stream_mode="updates"):
            parts.extend(chunk)
        return parts

    return asyncio.run(run())
