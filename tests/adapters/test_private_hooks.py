"""What the adapters use of foreign libraries beyond their documented interface: one case a hook.

A failure here names the library, what of it has changed, and the file of ours that uses it; `adapters/README.md` says
why.
"""

import ast
import asyncio
import concurrent.futures
import contextvars
import importlib.machinery
import inspect
import re
import sys
import threading
import warnings
from pathlib import Path
from typing import Annotated, TypedDict

import langchain.agents.middleware.types as middleware_types
import openai
import pytest
from langchain_core.caches import BaseCache
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import BaseTool, InjectedToolArg, tool
from langchain_core.tracers.context import register_configure_hook
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.pregel.main import Pregel
from openai._models import FinalRequestOptions
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from shadoweval.adapters.langchain import candidate_graphs, mirror_keywords, recorder_hook
from shadoweval.adapters.langchain.recorder_events import origin_of_error
from shadoweval.adapters.langchain.recorder_handler import RecordingHandler
from shadoweval.capture import Recorder, recording

ADAPTERS = Path(inspect.getfile(recorder_hook)).parents[1]
OURS = {"_shadoweval"}


class State(TypedDict, total=False):
    q: str


class Docs(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return []


@tool
def look_up(query: str, user: Annotated[str, InjectedToolArg]) -> str:
    """Look it up."""
    return f"{query} {user}"


def graph(node):
    builder = StateGraph(State)
    builder.add_node("look", node)
    builder.add_edge(START, "look")
    builder.add_edge("look", END)
    return builder.compile()


def frames_say_who_asks(monkeypatch):
    """A link asks from langchain_core.runnables, a retriever from elsewhere, as many frames above `get`."""
    asked = []

    def frame(depth):
        asked.append(sys._getframe(depth + 1).f_globals["__name__"])
        return sys._getframe(depth + 1)

    monkeypatch.setattr(recorder_hook, "_frame", frame)
    with recording(Recorder()) as recorder:
        recorder.handler = RecordingHandler(recorder, links=False)
        RunnableLambda(str).invoke("x")
        Docs().invoke("x")
    return set(asked) == {"langchain_core.runnables.config", "langchain_core.retrievers"} or asked


def loaders_run_modules_by_an_attribute(monkeypatch):
    """A finder of ours may give the module's own spec with another `exec_module`."""
    loader = importlib.machinery.PathFinder.find_spec("colorsys").loader
    loader.exec_module = lambda module: None
    return callable(sys.meta_path[0].find_spec) and "exec_module" in vars(loader)


def threads_keep_their_function(monkeypatch):
    return threading.Thread(target=print)._target is print


def executors_list_their_threads(_monkeypatch):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(threading.current_thread).result() in concurrent.futures.thread._threads_queues


def configure_hooks_take_a_variable(monkeypatch):
    return list(inspect.signature(register_configure_hook).parameters)[:2] == ["context_var", "inheritable"]


def child_configs_stand_in_a_variable(monkeypatch):
    seen = []
    look = RunnableLambda(lambda _: seen.append(var_child_runnable_config.get()))
    look.invoke("x", {"configurable": {"thread_id": "t1"}})
    variable = isinstance(var_child_runnable_config, contextvars.ContextVar)
    return variable and seen[0]["configurable"] == {"thread_id": "t1"}


def frames_of_a_failure_hold_the_runnable(monkeypatch):
    def broken(_):
        raise LookupError

    def whole(node):
        with pytest.raises(LookupError) as caught:
            node.invoke({"q": "x"})
        return origin_of_error(caught.value)

    chain = RunnableLambda(str) | RunnableLambda(broken, name="the link")
    name, namespace = whole(graph(broken))
    return whole(chain)[0] == "the link" and name == "look" and namespace.startswith("look:")


def tools_run_the_method_of_their_class(monkeypatch):
    class Tool(BaseTool):
        name: str = "t"
        description: str = "t"

        def _run(self, q):
            return q

        async def _arun(self, q):
            return q

    monkeypatch.setattr(Tool, "_run", lambda self, q: "replaced")

    async def arun(self, q):
        return "replaced"

    monkeypatch.setattr(Tool, "_arun", arun)
    return Tool().run({"q": "x"}) == asyncio.run(Tool().arun({"q": "x"})) == "replaced"


def injected_arguments_are_filtered(monkeypatch):
    visible = getattr(look_up, "_filter_injected_args", None)  # in 1.0 callbacks get all arguments
    return visible is None or visible({"query": "q", "user": "u"}) == {"query": "q"}


def caches_have_the_methods_that_are_replaced(monkeypatch):
    methods = {"lookup", "update", "clear", "alookup", "aupdate", "aclear"}
    return methods <= set(vars(BaseCache)) and "__init_subclass__" not in vars(BaseCache)


def histories_are_looked_up_when_configs_are_merged(monkeypatch):
    class History(BaseChatMessageHistory):
        messages = ()

        def clear(self):
            """Nothing is in it."""

    history = History()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated since langchain_core 1.3.3, gone in 2
        runnable = RunnableWithMessageHistory(RunnableLambda(lambda messages: "x"), lambda session_id: history)
    config = runnable._merge_configs({"configurable": {"session_id": "s"}})
    return config["configurable"]["message_history"] is history


def runs_say_their_node(monkeypatch):
    seen = []
    graph(RunnableLambda(lambda state, config: seen.append(config["metadata"]) or {})).invoke({"q": "x"})
    (metadata,) = seen
    return metadata["langgraph_node"] == "look" and metadata["langgraph_checkpoint_ns"].startswith("look:")


def graphs_are_made_of_their_attributes(monkeypatch):
    made = graph(lambda state: {"q": state["q"] + "!"})
    parts = {name: part for name, part in vars(made).items() if name != "__orig_class__"}
    return type(made)(**parts).invoke({"q": "x"}) == {"q": "x!"}


def graph_methods_take_their_config_where_they_did(monkeypatch):
    methods = {**candidate_graphs._SYNC, **candidate_graphs._ASYNC, **candidate_graphs._ASYNC_ITERATORS}
    names = {name: list(inspect.signature(getattr(Pregel, name)).parameters) for name in methods}
    return all(names[name][position + 1] == "config" for name, position in methods.items()) or names


def private_keys_stay_out_of_schemas(monkeypatch):
    return hasattr(middleware_types, "PrivateStateAttr")


def requests_pass_one_method(monkeypatch):
    fields = set(FinalRequestOptions.model_fields)
    signatures = [list(inspect.signature(kind.request).parameters)[1:3] for kind in (openai.OpenAI, openai.AsyncOpenAI)]
    awaited = inspect.iscoroutinefunction(openai.AsyncOpenAI.request)
    return signatures == [["cast_to", "options"]] * 2 and {"url", "json_data"} <= fields and awaited


def streams_keep_their_iterator(monkeypatch):
    source = inspect.getsource(openai._streaming)
    return source.count("self._iterator = self.__stream__()") == 2 and source.count("for item in self._iterator:") == 2


def raw_responses_are_parsed_by_a_method(monkeypatch):
    kinds = [openai._response.APIResponse, openai._response.AsyncAPIResponse]
    raw = openai._legacy_response.LegacyAPIResponse
    return all(hasattr(kind, "parse") for kind in (*kinds, raw)) and "http_response" in inspect.getsource(raw)


def savers_in_memory_hold_what_is_serialised(monkeypatch):
    builder = StateGraph(dict)
    builder.add_node("n", lambda state: {"turns": state.get("turns", 0) + 1})
    builder.add_edge(START, "n")
    saver, config = InMemorySaver(), {"configurable": {"thread_id": "t1"}}
    graph = builder.compile(checkpointer=saver)
    graph.invoke({"turns": 1}, config)
    memory = mirror_keywords._memory(graph, config["configurable"])
    return candidate_graphs._restored(memory, saver.serde).get_tuple(config) == saver.get_tuple(config)


def sessions_have_the_methods_that_are_replaced(monkeypatch):
    session = pytest.importorskip("mcp.client.session")
    parameters = list(inspect.signature(session.ClientSession.call_tool).parameters)[:3]
    listed = inspect.iscoroutinefunction(session.ClientSession.list_tools)
    return listed and parameters == ["self", "name", "arguments"] and hasattr(session.types, "CallToolResult")


def disabled_flags_say_so(monkeypatch):
    provider = InMemoryProvider({"f": InMemoryFlag("on", {"on": True}, state=InMemoryFlag.State.DISABLED)})
    return provider._flags["f"].state == "DISABLED"


RECORDER, CANDIDATE, OPENAI = "langchain/recorder_", "langchain/candidate_", "openai/recording.py"


def a_process_is_started_by_one_function(monkeypatch):
    """Which `stdio_client` awaits, and of whose result it uses no more than what `_Pooled` has."""
    stdio = pytest.importorskip("mcp.client.stdio")
    parameters = list(inspect.signature(stdio._create_platform_compatible_process).parameters)
    used = set(re.findall(r"[^.]process\.(\w+)", inspect.getsource(stdio)))
    return parameters[:2] == ["command", "args"] and used <= {"pid", "stdin", "stdout", "returncode", "wait"}


HOOKS = [
    ("Python", "sys._getframe", "langchain/recorder_hook.py", frames_say_who_asks),
    ("Python", "sys.meta_path", "candidate/tools/intercept.py", loaders_run_modules_by_an_attribute),
    ("Python", "Thread._target", "threads.py", threads_keep_their_function),
    ("Python", "concurrent.futures.thread._threads_queues", "queues.py", executors_list_their_threads),
    ("langchain_core", "register_configure_hook", f"{RECORDER}hook.py", configure_hooks_take_a_variable),
    ("langchain_core", "var_child_runnable_config", "langchain/mirror_keywords.py", child_configs_stand_in_a_variable),
    ("langchain_core", "`self` and `config`", f"{RECORDER}events.py", frames_of_a_failure_hold_the_runnable),
    ("langchain_core", "BaseTool._run", f"{CANDIDATE}tools.py", tools_run_the_method_of_their_class),
    ("langchain_core", "BaseTool._filter_injected_args", f"{CANDIDATE}tools.py", injected_arguments_are_filtered),
    ("langchain_core", "BaseCache", f"{CANDIDATE}memory.py", caches_have_the_methods_that_are_replaced),
    ("langchain_core", "_merge_configs", f"{CANDIDATE}memory.py", histories_are_looked_up_when_configs_are_merged),
    ("langgraph", "langgraph_checkpoint_ns", f"{RECORDER}events.py", runs_say_their_node),
    ("langgraph", "InMemorySaver.storage", "langchain/mirror_keywords.py", savers_in_memory_hold_what_is_serialised),
    ("langgraph", "Pregel.__init__", "langchain/mirror_runnable.py", graphs_are_made_of_their_attributes),
    ("langgraph", "Pregel.stream", f"{CANDIDATE}graphs.py", graph_methods_take_their_config_where_they_did),
    ("mcp", "ClientSession.call_tool", "mcp.py", sessions_have_the_methods_that_are_replaced),
    ("mcp", "stdio._create_platform_compatible_process", "mcp.py", a_process_is_started_by_one_function),
    ("langchain", "PrivateStateAttr", "langchain/mirror_middleware.py", private_keys_stay_out_of_schemas),
    ("openai", "OpenAI.request", OPENAI, requests_pass_one_method),
    ("openai", "Stream._iterator", OPENAI, streams_keep_their_iterator),
    ("openai", "APIResponse.parse", OPENAI, raw_responses_are_parsed_by_a_method),
    ("openfeature", "InMemoryProvider._flags", "openfeature.py", disabled_flags_say_so),
]


@pytest.mark.parametrize(("library", "what", "file", "works"), HOOKS, ids=[f"{hook[0]}-{hook[1]}" for hook in HOOKS])
def test_a_private_hook_is_as_the_adapter_needs_it(library, what, file, works, monkeypatch):
    """The failure says which library changed what, and which file of ours needs it."""
    try:
        result = works(monkeypatch)
    except Exception as error:
        result = error
    assert result is True, f"{library}: {what} is not what adapters/{file} needs it to be: {result!r}"


def test_the_readme_lists_each_hook():
    """With library and file, so that who reads it knows where to look."""
    rows = [line for line in (ADAPTERS / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    missing = [hook for hook in HOOKS if not any(all(part in row for part in hook[:3]) for row in rows)]
    assert not missing


def test_the_readme_lists_each_file():
    """One line each, and no line for a file that is not there."""
    table = (ADAPTERS / "README.md").read_text(encoding="utf-8").partition("## Private hooks")[0]
    files = {str(path.relative_to(ADAPTERS)) for path in ADAPTERS.rglob("*.py") if path.name != "__init__.py"}
    assert set(re.findall(r"^\| `(\S+\.py)` \|", table, re.MULTILINE)) == files


def private_names(path):
    """Private attributes of others that a module reads, writes or asks for by name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in {"self", "cls"}:
            yield node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attr"):  # getattr, hasattr, setattr
            yield from (str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))


@pytest.mark.parametrize("path", sorted(ADAPTERS.rglob("*.py")), ids=lambda path: str(path.relative_to(ADAPTERS)))
def test_no_other_private_attribute_is_used(path):
    """A new one needs a line in the README and a case above."""
    private = {name for name in private_names(path) if re.match(r"_[a-z]", name)}
    listed = {what.rpartition(".")[2] for _, what, file, _ in HOOKS if file == str(path.relative_to(ADAPTERS))}
    assert private <= listed | OURS
