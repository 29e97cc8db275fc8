import asyncio
import builtins
import importlib
import importlib.util
import sys
import threading
from collections import Counter
from types import SimpleNamespace

import pytest

from shadoweval.adapters.asgi import Route
from shadoweval.capture import third_party
from shadoweval.mirror import Mirror
from shadoweval.testing import MemoryTransport

ROWS = [(side, library) for side, adapters in third_party.TABLE.items() for library in adapters]


@pytest.mark.parametrize(("side", "library"), ROWS, ids="-".join)
def test_each_row_names_something_to_call(side, library):
    """The module is there, and its attribute can be called."""
    if library != "asgi":
        pytest.importorskip(library)
    assert callable(third_party.adapter(side, library))


def test_an_adapter_lies_in_its_room():
    """Targets are looked up in `shadoweval.adapters` alone."""
    for adapters in third_party.TABLE.values():
        for target in adapters.values():
            assert importlib.util.find_spec(f"shadoweval.adapters.{target.partition(':')[0]}") is not None


def test_a_library_is_connected_once_and_only_when_it_is_loaded(monkeypatch):
    """Until then nothing is imported for it; afterwards nothing is looked for."""
    calls = []
    monkeypatch.setattr(third_party, "TABLE", {"recorder": {"some_library": "x:y", "another": "x:z"}})
    monkeypatch.setattr(third_party, "adapter", lambda side, library: lambda: calls.append((side, library)))
    connections = third_party._Connections()
    connections.connect()
    assert calls == []
    monkeypatch.setitem(sys.modules, "some_library", SimpleNamespace())
    connections.connect()
    connections.connect()
    assert calls == [("recorder", "some_library")]
    assert list(connections.waiting) == ["another"]


def test_a_library_that_is_being_imported_is_connected_when_that_is_over(tmp_path, monkeypatch):
    """A module stands in `sys.modules` from its first line on, and its end need not come with another module's."""
    (tmp_path / "half_imported.py").write_text("import builtins\nbuiltins.look_at_half_imported()\nDONE = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(third_party, "TABLE", {"recorder": {"half_imported": "x:y", "blocked": "x:z"}})
    monkeypatch.setattr(third_party, "_TRACING", "half_imported")
    monkeypatch.setattr(third_party, "adapter", lambda side, library: lambda: calls.append(sys.modules[library].DONE))
    monkeypatch.setitem(sys.modules, "blocked", None)  # how an import is forbidden
    calls = []
    connections = third_party._Connections()
    monkeypatch.setattr(builtins, "look_at_half_imported", connections.connect, raising=False)
    importlib.import_module("half_imported")
    assert calls == []
    assert not connections.tracing
    assert connections.modules != len(sys.modules), "the next call would not look"
    connections.connect()
    assert calls == [True]
    assert connections.tracing
    assert connections.modules == len(sys.modules), "each call would look"
    monkeypatch.delitem(sys.modules, "half_imported")


def test_what_an_adapter_loads_is_connected_in_the_same_look(monkeypatch):
    """Else the next call would look again: in a child of a fork that is each child's first one."""
    calls = []

    def adapter(_side, library):
        monkeypatch.setitem(sys.modules, f"{library}_needs", SimpleNamespace())
        return lambda: calls.append(library)

    monkeypatch.setattr(third_party, "TABLE", {"recorder": {"some_needs": "x:z", "some": "x:y"}})
    monkeypatch.setattr(third_party, "adapter", adapter)
    monkeypatch.setitem(sys.modules, "some", SimpleNamespace())
    connections = third_party._Connections()

    connections.load()
    assert (calls, list(connections.waiting)) == ([], ["some_needs", "some"]), "loading changes no library"
    monkeypatch.delitem(sys.modules, "some_needs")
    connections.connect()

    assert sorted(calls) == ["some", "some_needs"]
    assert connections.modules == len(sys.modules)


def test_an_adapter_that_raises_is_tried_again_and_holds_up_no_other(monkeypatch):
    """A few times: each try costs a call."""
    calls = []

    def adapter(side, library):
        def connect():
            calls.append(library)
            if library == "broken" or (library == "late" and calls.count("late") == 1):
                raise LookupError(library)

        return connect

    monkeypatch.setattr(third_party, "TABLE", {"recorder": {"broken": "x:a", "late": "x:b", "sound": "x:c"}})
    monkeypatch.setattr(third_party, "adapter", adapter)
    for library in ("broken", "late", "sound"):
        monkeypatch.setitem(sys.modules, library, SimpleNamespace())
    connections = third_party._Connections()
    outcomes = []
    for _ in range(6):
        if connections.modules != len(sys.modules):
            try:
                connections.connect()
            except LookupError as error:
                outcomes.append(str(error))
    assert outcomes == ["broken", "late", "broken", "broken"]
    assert Counter(calls) == {"broken": 3, "late": 2, "sound": 1}
    assert not connections.waiting


def test_nobody_waits_for_ever_for_another_thread_to_connect(monkeypatch):
    """An adapter whose import waits for the module in whose body a call is made: that call goes on unconnected."""
    importing, done = threading.Event(), threading.Event()

    def adapter(_side, _library):
        def connect():
            importing.set()
            assert done.wait(60)

        return connect

    monkeypatch.setattr(third_party, "TABLE", {"recorder": {"slow": "x:a"}})
    monkeypatch.setattr(third_party, "adapter", adapter)
    monkeypatch.setattr(third_party, "_PATIENCE", 0.05)
    monkeypatch.setitem(sys.modules, "slow", SimpleNamespace())
    connections = third_party._Connections()
    other = threading.Thread(target=connections.connect)
    other.start()
    assert importing.wait(60)

    connections.connect()  # returns

    done.set()
    other.join()
    connections.connect()
    assert not connections.waiting
    assert connections.modules == len(sys.modules)


async def app(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def requested(mounted):
    scope = {"type": "http", "method": "POST", "path": "/ask", "query_string": b"", "headers": []}

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        del message

    asyncio.run(mounted(scope, receive, send))


class Client:
    """What the adapter needs of an OpenAI client."""

    def request(self, cast_to, options, **_):
        return {"model": "m", "choices": [{"message": {"content": "an answer"}}]}

    def copy(self):
        return self


def test_a_mirror_mounts_over_what_is_no_function():
    """Each of its methods finds its adapter by the table, and what comes out makes queries."""
    runnables = pytest.importorskip("langchain_core.runnables")
    transport = MemoryTransport()
    mirror = Mirror("support", transport, control=0.0)
    assert mirror.runnable(runnables.RunnableLambda(str)).invoke("why") == "why"
    options = SimpleNamespace(url="/chat/completions", json_data={"model": "m", "messages": []})
    mirror.client(Client()).request(dict, options)
    requested(mirror.asgi(app, routes=[Route(path="/ask")], headers=["accept"], max_body=10))
    assert len(transport.frames) == 3
