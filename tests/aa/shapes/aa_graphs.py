"""LangChain and LangGraph pipelines."""

import operator
import time
from dataclasses import dataclass
from typing import Annotated, TypedDict

from aa_rows import add, call
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send, interrupt

from shadoweval.adapters.langchain import ShadowMiddleware, mirrored


class State(TypedDict, total=False):
    question: str
    answer: str


def graph_of(node):
    builder = StateGraph(State)
    builder.add_node("n", node)
    builder.add_edge(START, "n")
    builder.add_edge("n", END)
    return builder.compile()


def remembering(state, *, store):
    store.put(("users",), "ann", {"asked": state["question"]})
    return {"answer": f"{store.get(('users',), 'ann').value['asked']} {len(store.search(('users',)))}"}


def invoked(mirror, pipeline):
    return mirrored(pipeline, mirror).invoke


plain = graph_of(lambda state: {"answer": f"because of {state['question']}"})
add(__name__, "plain", plain, call({"question": "How?"}), mount=invoked)


with_memory = StateGraph(State)
with_memory.add_node("n", remembering)
with_memory.add_edge(START, "n")
with_memory.add_edge("n", END)
with_memory = with_memory.compile(store=InMemoryStore())
add(__name__, "with_memory", with_memory, call({"question": "How?"}), call({"question": "Why?"}), mount=invoked)


def by_config(state, config):
    return {"answer": f"{config['configurable'].get('lang', 'en')}: {state['question']}"}


configured = graph_of(by_config)
add(
    __name__,
    "configured",
    configured,
    call({"question": "How?"}, {"configurable": {"lang": "de", "tenant": "t1"}}),
    mount=invoked,
)

chain = RunnableLambda(lambda question: f"because of {question}") | RunnableParallel(
    upper=RunnableLambda(str.upper), lower=RunnableLambda(str.lower)
)
add(__name__, "chain", chain, call("How?"), mount=invoked)


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
add(__name__, "fanned", fanned, call({"question": "How?"}), call({"question": "How?"}), mount=invoked)

messages = RunnableLambda(lambda messages: AIMessage(f"because of {messages[-1].content}"))
add(__name__, "messages", messages, call([HumanMessage("How?")]), mount=invoked)


@dataclass
class Reader:
    name: str


def by_context(state, runtime: Runtime[Reader]):
    return {"answer": f"{runtime.context.name}: {state['question']}"}


contextual_builder = StateGraph(State, context_schema=Reader)
contextual_builder.add_node("n", by_context)
contextual_builder.add_edge(START, "n")
contextual = contextual_builder.compile()
add(__name__, "contextual", contextual, call({"question": "How?"}, context=Reader("Ann")), mount=invoked)


def by_method(name):
    return lambda mirror, pipeline: getattr(mirrored(pipeline, mirror), name)


def table(state):
    return {"answer": [[1, 2], [3, 4]]}


tabular = graph_of(table)
sequence = RunnableLambda(lambda question: f"because of {question}") | RunnableLambda(str.upper)
LIMITED = {"recursion_limit": 7, "tags": ["a"], "metadata": {"k": 1}, "configurable": {"lang": "de"}}
for name in ("invoke", "ainvoke", "stream", "astream"):
    globals()[f"configured_{name}"] = graph_of(by_config)
    add(
        __name__,
        f"configured_{name}",
        globals()[f"configured_{name}"],
        call({"question": "How?"}, LIMITED),
        mount=by_method(name),
    )
    globals()[f"chain_{name}"] = sequence
    add(__name__, f"chain_{name}", sequence, call("How?"), mount=by_method(name))
add(__name__, "tabular", tabular, call({"question": "How?"}), mount=invoked)


def batched(mirror, pipeline):
    graph = mirrored(pipeline, mirror)
    return lambda one, config: graph.batch([one], config)[0]


for name, pipeline in {"configured_batch": graph_of(by_config), "chain_batch": RunnableLambda(by_config)}.items():
    globals()[name] = pipeline
    add(__name__, name, pipeline, call({"question": "How?"}, LIMITED), mount=batched)


class Chat(TypedDict, total=False):
    messages: Annotated[list, operator.add]


def counting(state):
    return {"messages": [f"{len(state['messages'])} before"]}


def conversation(saver):
    builder = StateGraph(Chat)
    builder.add_node("n", counting)
    builder.add_edge(START, "n")
    return builder.compile(checkpointer=saver)


THREAD = {"configurable": {"thread_id": "t1"}}
TURNS = [call({"messages": [text]}, THREAD) for text in ("a", "b", "c")]
remembering = conversation(InMemorySaver())
add(__name__, "remembering", remembering, *TURNS, mount=invoked)
remembering_async = conversation(InMemorySaver())
add(__name__, "remembering_async", remembering_async, *TURNS, mount=by_method("ainvoke"))


def resumed_by(mirror, pipeline):
    graph = mirrored(pipeline, mirror)

    def ask(_):
        graph.update_state(THREAD, {"messages": ["corrected"]}, as_node="__start__")
        return graph.invoke(None, THREAD)

    return ask


resumed = conversation(InMemorySaver())
add(__name__, "resumed", resumed, call("first"), call("second"), mount=resumed_by)


def approved(state):
    return {"messages": [f"approved: {interrupt('sure?')}"]}


def approving_graph():
    builder = StateGraph(Chat)
    builder.add_node("n", approved)
    builder.add_edge(START, "n")
    return builder.compile(checkpointer=InMemorySaver())


def said(state):
    """Without the interrupt's id, which LangGraph makes anew in each run."""
    waiting = state.get("__interrupt__")
    return {"answer": waiting[0].value if waiting else state["messages"][-1]}


approving = approving_graph()
TWO_STEPS = (call({"messages": ["x"]}, THREAD), call(Command(resume="yes"), THREAD))
add(__name__, "approving", approving, *TWO_STEPS, mount=invoked, options={"outcome": said})


class Asking(BaseChatModel):
    """Asks for the tools at once, then sums up what they gave."""

    names: tuple[str, ...]
    first: int = 0

    @property
    def _llm_type(self) -> str:
        return "asking"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        done = [message.content for message in messages if isinstance(message, ToolMessage)]
        calls = [{"name": name, "args": {"x": x}, "id": f"c{x}"} for x, name in enumerate(self.names, self.first)]
        answer = AIMessage(" ".join(done)) if done else AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def bind_tools(self, tools, **kwargs):
        return self


def last(state):
    """What the agent says or asks, without ids, which are made anew in each run."""
    waiting = state.get("__interrupt__")
    return {"answer": str(waiting[0].value) if waiting else state["messages"][-1].content}


@tool
def approve(x: int) -> str:
    """Ask a person."""
    return f"{interrupt({'sure about': x})}: {x}"


def agent(*names, first=0, **options):
    return create_agent(Asking(names=names, first=first), [refund, approve], **options)


PAY = {"messages": [HumanMessage("pay")]}
READ = {"outcome": last}
for name in ("invoke", "ainvoke", "stream", "astream"):
    globals()[f"agent_{name}"] = agent(*["refund"] * 4)
    add(__name__, f"agent_{name}", globals()[f"agent_{name}"], call(PAY), mount=by_method(name), options=READ)
for name, names in {"unknown_tool": ("refund", "refond"), "waiting_tool": ("approve",)}.items():
    globals()[name] = agent(*names, checkpointer=InMemorySaver())
    steps = [call(PAY, THREAD), *([call(Command(resume="yes"), THREAD)] if name == "waiting_tool" else [])]
    add(__name__, name, globals()[name], *steps, mount=invoked, options=READ)


def watched(mirror, pipeline):
    return create_agent(Asking(names=["refund"] * 4), [refund, approve], middleware=[ShadowMiddleware(mirror)]).invoke


under_middleware = agent(*["refund"] * 4)
add(__name__, "under_middleware", under_middleware, call(PAY), mount=watched, options=READ)


@tool
def specialist(x: int) -> str:
    """Have another agent pay, each one what no other does: what is asked at once comes in any order."""
    return last(agent("refund", "refund", first=100 * (x + 1)).invoke(PAY))["answer"]


@tool
def manager(x: int) -> str:
    """Pay oneself, and have it paid."""
    return f"{refund.invoke({'x': 10 + x})} {specialist.invoke({'x': 50 + x})}"


@tool
async def colleague(x: int) -> str:
    """As the specialist, awaited."""
    return last(await agent("refund", first=10_000 * (x + 1)).ainvoke(PAY))["answer"]


def agents_as_tools(*names):
    return create_agent(Asking(names=names), [specialist, manager, colleague])


supervised = agents_as_tools("specialist", "manager", "specialist")
add(__name__, "supervised", supervised, call(PAY), mount=invoked, options=READ)
supervised_async = agents_as_tools("colleague", "specialist", "colleague")
add(__name__, "supervised_async", supervised_async, call(PAY), mount=by_method("ainvoke"), options=READ)
supervised_under_middleware = agents_as_tools("manager", "specialist")


def watched_supervisor(mirror, pipeline):
    return create_agent(
        Asking(names=("manager", "specialist")),
        [specialist, manager, colleague],
        middleware=[ShadowMiddleware(mirror)],
    ).invoke


add(
    __name__,
    "supervised_under_middleware",
    supervised_under_middleware,
    call(PAY),
    mount=watched_supervisor,
    options=READ,
)
