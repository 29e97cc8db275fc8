"""The text of an experiment for a pipeline that was found, and the lines that mirror it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shadoweval.cli.discovery import Pipeline

__all__ = ["experiment_text", "mirror_lines"]


def experiment_text(
    pipeline: Pipeline, *, name: str, referenced: bool, allow: Sequence[str], tools: Sequence[str]
) -> str:
    """A module with one Experiment: the incumbent against itself."""
    served = _served(pipeline, name)
    scorers = ["token_f1"] * referenced + ["errors", "latency"]
    publics = ["Experiment", *(["Sandbox"] if allow or tools else []), *(["Stubs"] if tools else []), "no_worse"]
    quality = '        no_worse("token_f1", by=0.05),\n' if referenced else ""
    sandbox = _sandbox(allow, tools)
    definition = (
        f"{name} = Experiment(\n"
        f'    name="{name}",\n'
        f'    incumbent="{served}",\n'
        f'    candidates={{"same": "{served}"}},  # EDIT: "module:function" of yours; until then the incumbent itself\n'
        f"    scorers=[{', '.join(f'{scorer}()' for scorer in scorers)}],\n"
        f"    gates=[  # how much worse is still good enough: only you know\n"
        f"{quality}"
        f'        no_worse("errors", by=0.05),\n'
        f"    ],\n"
        f"{sandbox}"
        f")\n"
    )
    title = f'"""Is the candidate of {pipeline.target} fit to serve? What that means is written here, once."""\n'
    imported = ", ".join(sorted(scorers))
    imports = f"from shadoweval import {', '.join(publics)}\nfrom shadoweval.scoring import {imported}\n"
    return f"{title}\n{imports}\n{definition}{_wrapper(pipeline)}"


def _sandbox(allow: Sequence[str], tools: Sequence[str]) -> str:
    """What a shadow may reach. Tools that say no effect write, for all we know: that some only read is yours to say."""
    hosts = ", ".join(f'"{each}"' for each in allow)
    allowed = [f"allow=[{hosts}]"] if allow else []
    lines = f"    sandbox=Sandbox({allowed[0]}),  # nothing else can be reached\n" if allow else ""
    if tools:
        effects, live = (", ".join(each) for each in ([f'"{t}": "read"' for t in tools], [f'"{t}"' for t in tools]))
        stubs = f"stubs=Stubs(effects={{{effects}}}, live=[{live}])"
        lines += "    # EDIT: a shadow refuses tools that may write. Keep those that only read, and use this line:\n"
        lines += f"    # sandbox=Sandbox({', '.join([*allowed, stubs])}),\n"
    return lines


def _served(pipeline: Pipeline, name: str) -> str:
    return f"evals.{name}:answer" if pipeline.body or pipeline.kind == "graph" else pipeline.target


def _wrapper(pipeline: Pipeline) -> str:
    """A function of plain arguments around what takes a request's body, or the state of a graph."""
    if pipeline.kind == "graph":
        return (
            f'\n\ndef answer(question: str):\n    """Ask the graph one question."""\n'
            f"    from {pipeline.module} import {pipeline.name}\n\n"
            f'    state = {pipeline.name}.invoke({{"messages": [("user", question)]}})\n'
            f'    return state["messages"][-1].text\n'
        )
    if not pipeline.body:
        return ""
    define, wait = ("async def", "await ") if pipeline.is_async else ("def", "")
    return (
        f"\n\n{define} answer({pipeline.question}: str, **fields):\n"
        f'    """Ask the route, by the fields of its body."""\n'
        f"    from {pipeline.module} import {pipeline.body}, {pipeline.name}\n\n"
        f"    return {wait}{pipeline.name}({pipeline.body}({pipeline.question}={pipeline.question}, **fields))\n"
    )


def mirror_lines(pipeline: Pipeline, name: str) -> Iterator[str]:
    """What to write where the pipeline serves: an import, and the one line above it."""
    yield f"from evals.{name} import {name}"
    if pipeline.kind == "graph":
        yield f"@{name}.mirror(sample=0.10)      # above the function in which {pipeline.target} is invoked"
        return
    arguments = ""
    if pipeline.body:
        body, question = pipeline.parameter, pipeline.question
        arguments = f", inputs=lambda {body}: {body}.model_dump(), text=lambda {body}: {body}.{question}"
    define = "async def" if pipeline.is_async else "def"
    yield f"@{name}.mirror(sample=0.10{arguments})      # above `{define} {pipeline.name}` in {pipeline.module}"
