"""A chat bot that remembers the conversation of each thread."""

from langchain_core.messages import SystemMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

model = ChatOpenAI(model="gpt-4o-mini")


def call_model(state: MessagesState):
    system = SystemMessage("You are a terse assistant.")
    return {"messages": [model.invoke([system, *state["messages"]])]}


builder = StateGraph(MessagesState)
builder.add_node("model", call_model)
builder.add_edge(START, "model")
builder.add_edge("model", END)
graph = builder.compile(checkpointer=InMemorySaver())


def chat(thread_id, text):
    config = {"configurable": {"thread_id": thread_id}}
    state = graph.invoke({"messages": [("user", text)]}, config)
    return state["messages"][-1].content


def history(thread_id):
    state = graph.get_state({"configurable": {"thread_id": thread_id}})
    return [message.content for message in state.values["messages"]]
