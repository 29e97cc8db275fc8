"""The shape of the code: sizes, signatures, names, imports. A rule is measured over all code, offenders are listed."""

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import shadoweval

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for room in ("shadoweval", "pipelines", "evals") for p in (ROOT / room).rglob("*.py"))
PACKAGE = {
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
    for p in sorted((ROOT / "shadoweval").rglob("*.py"))
}
PUBLIC = re.compile(r"shadoweval(\.(scoring|records|protocols|errors|testing)|\.adapters\.\w+)?")
REQUEST_PATH = ("shadoweval.experiment", "shadoweval.mirror", "shadoweval.capture", "shadoweval.transport",
                "shadoweval.traffic", "shadoweval.scoring", "shadoweval.verdict.gates")  # fmt: skip
FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|helpers?|manager|misc|common|data|info|process|handle)$")
# What is found by its name: commands, the demo's, console scripts and `-m` modules, pytest's hooks; what waits for one.
BY_NAME = re.compile(
    r"shadoweval\.(cli\.\w+\.\w+|demo\.\w+\.\w+|\w+(\.\w+)*\.main|store\.migrations\..+|traffic\.ladder_file\.Ladder)"
)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def at(path: Path, node: ast.AST | None = None) -> str:
    place = str(path.relative_to(ROOT))
    return place if node is None else f"{place}:{node.lineno}"


def nobody(offenders: list[str]) -> None:
    """All of them in the message, not the first few."""
    assert not offenders, "\n" + "\n".join(offenders)


def test_modules_stay_small():
    """A module has at most 300 lines."""
    sizes = {at(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}

    nobody([f"{place} has {lines} lines" for place, lines in sizes.items() if lines > 300])


def test_functions_stay_small():
    """A function has at most 40 lines without its docstring."""
    long = []
    for path in SOURCES:
        for node in functions(path):
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
            lines = (body[-1].end_lineno - body[0].lineno + 1) if body else 0
            if lines > 40:
                long.append(f"{at(path, node)} {node.name} has {lines} lines")

    nobody(long)


def test_signatures_name_their_arguments():
    """At most three arguments by place; more only with a reason beside the definition (`noqa: PLR0917`)."""
    many = []
    for path in SOURCES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in functions(path):
            named = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            by_place = named[1:] if named[:1] in (["self"], ["cls"]) else named
            reason = "PLR0917" in "".join(lines[node.lineno - 1 : node.body[0].lineno])
            if len([name for name in by_place if not name.startswith("_")]) > 3 and not reason:
                many.append(f"{at(path, node)} {node.name}({', '.join(by_place)})")

    nobody(many)


def test_names_say_what_is_in_them():
    """No module, class or public function is a drawer for whatever fits nowhere."""
    named = [(at(path), path.stem) for path in SOURCES]
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                named.append((at(path, node), re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name).lower()))

    nobody([f"{place} {name}" for place, name in named if FORBIDDEN_NAMES.search(name)])


def exported(path: Path) -> list[str] | None:
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


def imports(path: Path) -> Iterator[tuple[ast.stmt, str, str]]:
    """Statement, module, name; at whatever depth, for types too. A submodule counts as a module of its own."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "shadoweval":
            yield from ((node, node.module, each.name) for each in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node, each.name, "") for each in node.names if each.name.split(".")[0] == "shadoweval")


def test_exports_are_listed():
    """`__all__` exists where there are names, is sorted, and everything in it can be imported."""
    wrong = []
    for name, path in PACKAGE.items():
        if ".migrations" in name or name.endswith("__main__"):
            continue
        listed = exported(path)
        if listed is None:
            if [node for node in tree(path).body if not isinstance(node, ast.Expr)]:
                wrong.append(f"{name} lists nothing")
            continue
        if listed != sorted(listed, key=lambda n: (not n.isupper(), not n[:1].isupper(), n)):
            wrong.append(f"{name} is not sorted")
        module = importlib.import_module(name)
        wrong += [f"{name} has no {each}" for each in listed if not hasattr(module, each)]

    nobody(wrong)


def used(path: Path) -> Iterator[str]:
    """What a module uses of others, as `module.name`: imported, a module's attribute, or in the table of adapters."""
    aliases = {}
    for node, module, name in imports(path):
        yield from (f"{module}.{each}" for each in (exported(PACKAGE[module]) or [] if name == "*" else [name]))
        aliases |= {name: f"{module}.{name}"} if name else {each.asname or each.name: each.name for each in node.names}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            yield f"{aliases.get(ast.unparse(node.value))}.{node.attr}"
        elif isinstance(node, ast.Constant) and ":" in str(node.value):
            yield f"shadoweval.adapters.{str(node.value).replace(':', '.')}"


def test_exports_are_used():
    """What a private module lists in `__all__`, another module of the package uses, or a benchmark of the engine."""
    others = [ROOT / "pytest_shadoweval.py", *(ROOT / "benchmarks").rglob("*.py")]
    needed = {name for path in (*PACKAGE.values(), *others) for name in used(path)}
    listed = [
        f"{module}.{name}"
        for module, path in PACKAGE.items()
        if not PUBLIC.fullmatch(module)
        for name in exported(path) or []
    ]

    nobody([name for name in listed if name not in needed and not BY_NAME.fullmatch(name)])


def test_nothing_imports_in_a_circle():
    """Neither at the top, nor for types, nor inside functions; adapters, which are loaded by name, come last anyway."""
    below: dict[str, set[str]] = {}
    for importer, path in PACKAGE.items():
        found = {f"{module}.{name}" if f"{module}.{name}" in PACKAGE else module for _, module, name in imports(path)}
        below[importer] = {name for name in found & PACKAGE.keys() if name not in {importer, "shadoweval"}}
    while free := [name for name, needs in below.items() if not needs & below.keys()]:
        for name in free:
            del below[name]
    # What is left stands in a circle, or above one; what nothing in it needs stands above.
    while above := [name for name in below if not any(name in needs for needs in below.values())]:
        for name in above:
            del below[name]

    nobody([f"{name} needs {', '.join(sorted(needs & below.keys()))}" for name, needs in below.items()])


BLOCK = re.compile(r"^```python[^\n]*\n(?P<code>.*?)^```", flags=re.MULTILINE | re.DOTALL)


def shown() -> Iterator[tuple[str, str]]:
    """Code that users read as an example: place and text."""
    for folder in ("evals", "pipelines", "tests/apps"):
        yield from ((at(path), path.read_text(encoding="utf-8")) for path in (ROOT / folder).rglob("*.py"))
    # statistics.md is the page of a private room: how the engine works on plain numbers.
    pages = [ROOT / "README.md", *(page for page in (ROOT / "docs").glob("*.md") if page.stem != "statistics")]
    for page in pages:
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            yield at(page), block["code"]


def test_examples_import_public_names():
    """README, docs, evals, pipelines and the apps import what is public (as README says it), and it is there."""
    wrong = []
    for place, code in shown():
        for module, names in re.findall(r"^\s*from (shadoweval[\w.]*) import ([\w, ]+|\([^)]*\))", code, re.MULTILINE):
            if not PUBLIC.fullmatch(module):
                wrong.append(f"{place}: {module} is private")
                continue
            listed = exported(PACKAGE[module]) or []
            wrong += [f"{place}: {module} has no {name}" for name in re.findall(r"\w+", names) if name not in listed]

    nobody(wrong)


SEEN = """
import sys
loaded = sorted(sys.modules)
import json, os, threading
tops = sorted({m.split(".")[0] for m in sys.modules} - sys.stdlib_module_names - {"__main__", "shadoweval"})
fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
links = [os.readlink(fd) for fd in fds if os.path.exists(fd)]
print(json.dumps({
    "all": loaded,
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


def test_the_request_path_costs_msgspec_alone():
    """What production imports loads the standard library and msgspec, starts no thread, opens no file."""
    bare = loaded_by("pass")
    seen = loaded_by("import " + ", ".join(REQUEST_PATH))

    extra = set(seen["modules"]) - set(bare["modules"])
    assert extra <= {"msgspec", "typing_extensions"}, "msgspec imports typing_extensions where it is installed"
    assert seen["threads"] == 1
    assert seen["files"] == bare["files"]


def test_an_experiment_is_no_heavy_import():
    """Whoever mirrors loads at most 200 modules, the interpreter's own included: no asyncio, no network, no pickle."""
    seen = loaded_by("from shadoweval import Experiment")

    assert len(seen["all"]) <= 200
    assert not {"asyncio", "socket", "ssl", "subprocess", "pickle", "tomllib", "difflib"} & set(seen["all"])


def test_the_help_of_the_command_loads_its_parser_alone():
    """Logging and tracebacks cost as much as all the rest, and come when a command runs."""
    script = "\n".join(
        (
            "import contextlib, sys",
            f"sys.path.insert(0, {str(ROOT)!r})",
            "from shadoweval.cli.parser import main",
            "with contextlib.suppress(SystemExit):",
            "    main(['--help'])",
            "print(*sys.modules, file=sys.stderr)",
        )
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)

    assert not {"logging", "traceback", "inspect", "msgspec", "difflib"} & set(done.stderr.split())


def test_every_public_name_resolves():
    """What `shadoweval` promises at its top can be had, and nothing else."""
    assert [name for name in shadoweval.__all__ if getattr(shadoweval, name) is None] == []
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        _ = shadoweval.evaluat


def test_every_module_can_be_imported():
    """None needs an extra at import."""
    for _, name, _ in pkgutil.walk_packages(shadoweval.__path__, "shadoweval."):
        if not name.endswith("__main__") and ".migrations" not in name:
            importlib.import_module(name)


def test_the_pytest_plugin_loads_nothing_at_start():
    """A test run that does not use the fixture pays for pytest alone."""
    bare = loaded_by("import pytest")
    seen = loaded_by("import pytest, pytest_shadoweval")

    added = {name.partition(".")[0] for name in set(seen["modules"]) - set(bare["modules"])}
    assert added - set(sys.stdlib_module_names) == {"pytest_shadoweval"}
