"""Find the pipeline of a project by reading its source; nothing is imported or run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

__all__ = ["SKIPPED", "Pipeline", "pipelines_in", "tools_in"]

SKIPPED: Final = frozenset(
    {"node_modules", "site-packages", "build", "dist", "migrations", "venv", "env", "evals", "shadoweval-demo"}
)
"""Folders of a project in which no pipeline and no questions of its own lie."""
_MOST_FILES: Final = 2_000
_TAKES: Final = 3
"""What taking a question scores; alone it makes no pipeline that is preferred to another."""
_QUESTION: Final = ("question", "query", "message", "prompt", "text", "user_input", "input", "q", "msg", "ask")
_NAMED: Final = re.compile(r"(?i)answer|ask|chat|respond|reply|rag|generate|run_agent|query|support|complete|invoke")
_NO_QUESTION: Final = frozenset({"state", "self", "cls", "config", "context", "ctx", "request"})
_MODEL_CALLS: Final = re.compile(
    r"\.(chat\.completions\.(create|parse)|responses\.(create|parse)|messages\.create|completions\.create)$"
    r"|\.(invoke|ainvoke|similarity_search|get_relevant_documents|query_points|generate_content)$|^completion$"
)
_ROUTE: Final = re.compile(r"\.(post|get|put|websocket|route|task)$")
_GRAPH: Final = re.compile(r"\.compile$|(^|\.)create_(react_)?agent$")
_PLAIN: Final = frozenset({"str", "int", "float", "bool", "dict", "list", "Any", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A function, route or graph that seems to answer questions."""

    module: str
    name: str
    line: int
    score: int
    why: tuple[str, ...]
    kind: str = "function"
    """`function`, or `graph`: a compiled graph or agent at the top of its module."""
    is_async: bool = False
    question: str = ""
    """Its parameter that takes the question, or the field of `body`."""
    body: str = ""
    """Class of its only parameter, where that is a model of the request."""
    parameter: str = ""
    """Name of that parameter."""
    needed: tuple[str, ...] = ()
    """Other parameters without a default."""
    calls: frozenset[str] = frozenset()
    """Names of what it calls."""

    @property
    def target(self) -> str:
        """`module:name`."""
        return f"{self.module}:{self.name}"


@dataclass(slots=True)
class _Module:
    """One source file as far as it is looked at."""

    name: str
    tree: ast.Module
    models: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Classes with annotated fields -> their fields."""


def pipelines_in(folder: Path) -> list[Pipeline]:
    """What may be the pipeline, the likeliest first; of a route and the function that it calls, the function."""
    modules = list(_modules(folder))
    models = {name: fields for module in modules for name, fields in module.models.items()}
    found = [pipeline for module in modules for pipeline in _in_module(module, models)]
    called = {name for pipeline in found if "a route" in pipeline.why for name in pipeline.calls}
    lifted = [
        replace(each, score=each.score + 3, why=(*each.why, "called by a route"))
        if each.name in called and "a route" not in each.why and each.score > _TAKES
        else each
        for each in found
    ]
    return sorted(lifted, key=lambda each: (-each.score, each.module, each.line))


def tools_in(folder: Path) -> list[str]:
    """Names of functions that are tools (LangChain's `@tool`, ours) and do not say what they do to the world."""
    functions = (node for module in _modules(folder) for node in ast.walk(module.tree))
    return sorted(
        node.name
        for node in functions
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(re.match(r"(\w+\.)*tool\b(?!.*effect)", ast.unparse(each)) for each in node.decorator_list)
    )


def _modules(folder: Path) -> Iterator[_Module]:
    for n, path in enumerate(sorted(_sources(folder))):
        if n >= _MOST_FILES:
            return
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[0] == "src" and len(parts) > 1:
            parts = parts[1:]
        module = _Module(".".join(part for part in parts if part != "__init__"), tree)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                module.models[node.name] = [
                    each.target.id
                    for each in node.body
                    if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
                ]
        yield module


def _sources(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        name = path.name
        if path.is_dir() and not path.is_symlink():
            if not name.startswith(".") and name not in SKIPPED and not (path / "pyvenv.cfg").exists():
                yield from _sources(path) if not re.match(r"tests?$", name) else ()
        elif path.suffix == ".py" and not re.match(r"(test_.*|conftest|setup|noxfile)\.py$|.*_test\.py$", name):
            yield path


def _in_module(module: _Module, models: dict[str, list[str]]) -> Iterator[Pipeline]:
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pipeline = _function(module, node, models)
            if pipeline is not None:
                yield pipeline
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _GRAPH.search(_dotted(node.value)):
            name = ast.unparse(node.targets[0])
            if name.isidentifier() and not _dotted(node.value).startswith("re."):
                yield Pipeline(
                    module=module.name, name=name, line=node.lineno, score=4, why=("a graph or agent",), kind="graph"
                )


def _dotted(call: ast.Call) -> str:
    return ast.unparse(call.func)


def _function(
    module: _Module, node: ast.FunctionDef | ast.AsyncFunctionDef, models: dict[str, list[str]]
) -> Pipeline | None:
    decorators = [ast.unparse(each) for each in node.decorator_list]
    if any(re.search(r"(^|\.)(tool|fixture|command|retriever)\b", text) for text in decorators):
        return None  # parts of a pipeline, and what is no pipeline
    calls = [_dotted(call) for call in ast.walk(node) if isinstance(call, ast.Call)]
    why: list[tuple[int, str]] = []
    if any(_MODEL_CALLS.search(call) for call in calls):
        why.append((4, "calls a model, a graph or an index"))
    if _NAMED.search(node.name):
        why.append((2, "its name"))
    if any(_ROUTE.search(text.partition("(")[0]) for text in decorators):
        why.append((1, "a route"))
    needed = _needed(node)
    question, body, parameter = _question(node, models)
    if question:
        why.append((_TAKES, f"takes {question!r}"))
    score = sum(points for points, _ in why) - (3 if node.name.startswith("_") or node.name == "main" else 0)
    if score < _TAKES or not question:
        return None
    return Pipeline(
        module=module.name,
        name=node.name,
        line=node.lineno,
        score=score,
        why=tuple(text for _, text in why),
        is_async=isinstance(node, ast.AsyncFunctionDef),
        question=question,
        body=body,
        parameter=parameter,
        needed=tuple(name for name in needed if name not in {question, parameter}),
        calls=frozenset(call.rpartition(".")[2] for call in calls),
    )


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def _needed(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Parameters without a default."""
    places = [*node.args.posonlyargs, *node.args.args]
    by_name = [arg.arg for arg, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if value is None]
    return [arg.arg for arg in places[: len(places) - len(node.args.defaults)]] + by_name


def _question(node: ast.FunctionDef | ast.AsyncFunctionDef, models: dict[str, list[str]]) -> tuple[str, str, str]:
    """The parameter, or the field of a body, that takes the question; the body's class; the body's parameter."""
    arguments = _arguments(node)
    kinds = {arg.arg: "" if arg.annotation is None else ast.unparse(arg.annotation) for arg in arguments}
    named = _first(list(kinds))
    for name in [named] if named else kinds:  # what is called a question may still be a body that holds it
        inner = _first(models.get(kinds[name], ()))
        if inner:
            return inner, kinds[name], name
    if named:
        return named, "", ""
    arguments = [arg for arg in arguments if arg.arg not in _NO_QUESTION]
    plain = [arg.arg for arg in arguments if kinds[arg.arg] in _PLAIN]
    return (plain[0], "", "") if len(arguments) == len(plain) == 1 else ("", "", "")


def _first(names: Sequence[str]) -> str:
    return next((wanted for wanted in _QUESTION if wanted in names), "")
