"""LangChain and LangGraph pipelines."""

import time
from typing import TypedDict

from aa_rows import add, call
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from shadoweval.adapters.langchain import mirrored


class State(TypedDict, total=False):
    question: str
    answer: str


def graph_of(node):
    builder = StateGraph(State)
    builder.add_node("n", node)
    builder.add_edge(START, "n")
    builder.add_edge("n", END)
    return builder.compile()


RERUN = "the incumbent of a mirrored graph is run again only with `entry=`; steps of its nodes differ"


def invoked(mirror, pipeline):
    return mirrored(pipeline, mirror).invoke


plain = graph_of(lambda state: {"answer": f"because of {state['question']}"})
add(__name__, "plain", plain, call({"question": "How?"}), mount=invoked, fault=RERUN)


def by_config(state, config):
    return {"answer": f"{config['configurable'].get('lang', 'en')}: {state['question']}"}


configured = graph_of(by_config)
add(
    __name__,
    "configured",
    configured,
    call({"question": "How?"}, {"configurable": {"lang": "de", "tenant": "t1"}}),
    mount=invoked,
    fault="of `configurable` all but `thread_id` is dropped",
)

chain = RunnableLambda(lambda question: f"because of {question}") | RunnableParallel(
    upper=RunnableLambda(str.upper), lower=RunnableLambda(str.lower)
)
add(__name__, "chain", chain, call("How?"), mount=invoked, fault=RERUN)


@tool
def refund(x: int) -> str:
    """Refund x."""
    time.sleep(0.003)
    return f"refunded {x}"


def fan_out(state):
    return [Send("pay", {"question": str(number)}) for number in range(4)]


class Fan(TypedDict, total=False):
    question: str
    answer: str


fanned_builder = StateGraph(Fan)
fanned_builder.add_node("pay", lambda state: refund.invoke({"x": int(state["question"])}) and {})
fanned_builder.add_node("end", lambda state: {"answer": "done"})
fanned_builder.add_conditional_edges(START, fan_out, ["pay"])
fanned_builder.add_edge("pay", "end")
fanned_builder.add_edge("end", END)
fanned = fanned_builder.compile()
add(__name__, "fanned", fanned, call({"question": "How?"}), call({"question": "How?"}), mount=invoked, fault=RERUN)

messages = RunnableLambda(lambda messages: AIMessage(f"because of {messages[-1].content}"))
add(__name__, "messages", messages, call([HumanMessage("How?")]), mount=invoked, fault=RERUN)
