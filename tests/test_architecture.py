"""The shape of the code: sizes, names, what an import costs."""

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import shadoweval

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for room in ("shadoweval", "pipelines", "evals") for p in (ROOT / room).rglob("*.py"))
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(shadoweval.__path__, "shadoweval.")
    if not name.endswith("__main__") and ".migrations" not in name
]
REQUEST_PATH = ("shadoweval.experiment", "shadoweval.mirror", "shadoweval.capture", "shadoweval.transport",
                "shadoweval.traffic", "shadoweval.scoring.retrieval", "shadoweval.verdict.gates")  # fmt: skip
FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|helpers?|manager|misc|common)(_|$)")


def ident(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=ident)
def test_modules_and_functions_stay_small(path):
    """A module has at most 300 lines, a function at most 40 without its docstring."""
    text = path.read_text(encoding="utf-8")
    long = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
            lines = (body[-1].end_lineno - body[0].lineno + 1) if body else 0
            if lines > 40:
                long.append(f"{node.name}: {lines} lines")

    assert len(text.splitlines()) <= 300
    assert not long


@pytest.mark.parametrize("path", SOURCES, ids=ident)
def test_names_say_what_is_in_them(path):
    """No module is a drawer for whatever fits nowhere."""
    assert not FORBIDDEN_NAMES.search(path.stem)


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_listed(name):
    """`__all__` exists, is sorted, and everything in it can be imported."""
    module = importlib.import_module(name)
    source = Path(module.__file__)
    if source.name == "__init__.py" and "__all__" not in vars(module):
        tree = ast.parse(source.read_text(encoding="utf-8"))
        assert not [n for n in tree.body if not isinstance(n, ast.Expr)], "a package with names lists them"
        return

    listed = module.__all__

    assert listed == sorted(listed, key=lambda n: (not n.isupper(), not n[:1].isupper(), n))
    assert all(hasattr(module, n) for n in listed)


SEEN = """
import json, os, sys, threading
tops = sorted({m.split(".")[0] for m in sys.modules} - sys.stdlib_module_names - {"__main__", "shadoweval"})
fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
links = [os.readlink(fd) for fd in fds if os.path.exists(fd)]
print(json.dumps({
    "modules": [m for m in tops if not m.startswith(("_", "sitecustomize", "cython_runtime"))],
    "threads": threading.active_count(),
    "files": sorted(link for link in links if link.startswith("/") and not link.startswith(("/dev", "/proc"))),
    "sockets": [link for link in links if link.startswith("socket")],
}))
"""


def loaded_by(statement):
    """Third-party top-level modules, threads, files and sockets of a fresh interpreter after `statement`."""
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{statement}\n{SEEN}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return json.loads(done.stdout)


def test_importing_does_nothing():
    """`import shadoweval` loads no third-party package, starts no thread, opens no file and no socket."""
    bare = loaded_by("pass")
    seen = loaded_by("import shadoweval")

    assert set(seen["modules"]) - set(bare["modules"]) == set()
    assert seen["threads"] == 1
    assert seen["files"] == bare["files"]
    assert seen["sockets"] == []


@pytest.mark.parametrize("module", REQUEST_PATH)
def test_the_request_path_costs_msgspec_alone(module):
    """What production imports loads the standard library and msgspec, starts no thread, opens no file."""
    bare = loaded_by("pass")
    seen = loaded_by(f"import {module}")

    extra = set(seen["modules"]) - set(bare["modules"])
    assert extra <= {"msgspec", "typing_extensions"}, "msgspec imports typing_extensions where it is installed"
    assert seen["threads"] == 1
    assert seen["files"] == bare["files"]


def test_every_public_name_resolves():
    """What `shadoweval` promises at its top can be had, and nothing else."""
    for name in shadoweval.__all__:
        assert getattr(shadoweval, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        _ = shadoweval.evaluat


def test_the_pytest_plugin_loads_nothing_at_start():
    """A test run that does not use the fixture pays for pytest alone."""
    bare = loaded_by("import pytest")
    seen = loaded_by("import pytest, shadoweval.pytest_plugin")

    assert seen["modules"] == bare["modules"]
