import importlib.util
import sys
from types import SimpleNamespace

import pytest

from shadoweval.capture import third_party

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
    assert connections.waiting == ("another",)
