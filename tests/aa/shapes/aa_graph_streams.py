"""Graphs whose streams are asked for in every form that LangGraph has."""

from typing import TypedDict

from aa_rows import add, call
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph

from shadoweval.adapters.langchain import mirrored


class State(TypedDict, total=False):
    question: str
    answer: str
    words: list


def think(state):
    get_stream_writer()({"thinking": state["question"]})
    model = GenericFakeChatModel(messages=iter([AIMessage(f"one two {state['question']}")]))
    return {"words": model.invoke(state["question"]).content.split()}


def answer(state):
    return {"answer": f"because of {' '.join(state['words'])}"}


def inner():
    builder = StateGraph(State)
    builder.add_node("think", think)
    builder.add_node("more", lambda state: {"words": [*state["words"], "more"]})
    builder.add_edge(START, "think")
    builder.add_edge("think", "more")
    return builder.compile()


def outer(**options):
    builder = StateGraph(State)
    builder.add_node("inner", inner())
    builder.add_node("answer", answer)
    builder.add_edge(START, "inner")
    builder.add_edge("inner", "answer")
    return builder.compile(**options)


def by(method):
    return lambda mirror, pipeline: getattr(mirrored(pipeline, mirror), method)


ASKED = {"question": "How?"}
THREAD = {"configurable": {"thread_id": "t"}}
FORMS = {
    "plain": {},
    "values": {"stream_mode": "values"},
    "messages": {"stream_mode": "messages", "subgraphs": True},
    "many": {"stream_mode": ["updates", "values", "messages", "custom", "debug", "tasks"]},
    "subgraphs": {"stream_mode": ["updates", "custom", "messages"], "subgraphs": True},
    "second_version": {"stream_mode": ["updates", "values"], "version": "v2", "subgraphs": True},
    "some_keys": {"output_keys": ["answer"], "stream_mode": ["values", "updates"]},
    "stopped": {"interrupt_before": ["answer"], "stream_mode": ["values", "updates"], "durability": "sync"},
    "stopped_after": {"interrupt_after": ["inner"], "durability": "exit", "stream_mode": "checkpoints"},
    "shown": {"debug": True, "print_mode": "values", "stream_mode": ("values", "debug")},
}
for form, keywords in FORMS.items():
    for method in ("stream", "astream"):
        name = f"{form}_{method}"
        globals()[name] = outer(checkpointer=InMemorySaver())
        add(__name__, name, globals()[name], call(ASKED, THREAD, **keywords), mount=by(method))
for form, keywords in {
    "updates": {"stream_mode": "updates"},
    "some_keys": {"output_keys": ["answer"]},
    "second_version": {"version": "v2"},
    "shown": {"debug": True, "print_mode": ["values"], "durability": "exit"},
}.items():
    for method in ("invoke", "ainvoke"):
        name = f"{form}_{method}"
        globals()[name] = outer(checkpointer=InMemorySaver())
        add(__name__, name, globals()[name], call(ASKED, THREAD, **keywords), mount=by(method))
as_events = outer()
add(__name__, "as_events", as_events, call(ASKED, version="v2"), mount=by("astream_events"))
