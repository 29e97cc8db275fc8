"""Apps as people write them, run twice: as they are, and mirrored by a change of a few lines."""

import difflib
import sys
import types
from pathlib import Path

import pytest

from shadoweval import Experiment, Settings, Traffic
from shadoweval.testing import MemoryTransport

_HERE = Path(__file__).parent


@pytest.fixture(name="configured")
def _configured(server, monkeypatch):
    """The model's server, where the apps look for it."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "k")


class App:
    """An app's two versions, and what was mirrored.

    Attributes:
        changed: Lines of the mirrored version that the original has not.
    """

    def __init__(self, name, changes, transport):
        source = (_HERE / "sources" / f"{name}.py").read_text(encoding="utf-8")
        mirrored = source
        for old, new in changes:
            assert mirrored.count(old) == 1, f"{old!r} stands once in {name}"
            mirrored = mirrored.replace(old, new)
        lines = difflib.ndiff(source.splitlines(), mirrored.splitlines())
        self.changed = [line[2:] for line in lines if line.startswith("+ ")]
        self.plain = _module(f"{name}_plain", source)
        self.mirrored = _module(f"{name}_mirrored", mirrored)
        self._transport = transport

    @property
    def envelopes(self):
        return list(self._transport.envelopes)


def _module(name, source):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    return module


@pytest.fixture
def app(configured, tmp_path, monkeypatch):
    """Makes an app from its source and the changes that mirror it; `evaluation` is the team's module of experiments."""
    transport = MemoryTransport()
    evaluation = types.ModuleType("evaluation")
    evaluation.support = Experiment(
        name="support",
        candidates={"next": "next_release:answer"},
        traffic=Traffic(transport=transport),
        settings=Settings(home=str(tmp_path)),
    )
    monkeypatch.setitem(sys.modules, "evaluation", evaluation)
    before = set(sys.modules)
    yield lambda name, *changes: App(name, changes, transport)
    for name in set(sys.modules) - before:
        if name.endswith(("_plain", "_mirrored")):
            del sys.modules[name]
