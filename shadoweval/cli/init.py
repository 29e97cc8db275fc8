"""The command `init`: an experiment for the project in this folder; its first run is the incumbent against itself."""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from shadoweval.cli.discovery import SKIPPED, Pipeline, pipelines_in, tools_in
from shadoweval.cli.output import say
from shadoweval.cli.scaffold import experiment_text, mirror_lines
from shadoweval.errors import ShadowEvalError

__all__ = ["init"]

_MOST: Final = 200
_ASKED: Final = ("question", "query", "input", "prompt", "message", "text")
_EXPECTED: Final = ("reference", "expected", "answer", "ground_truth", "expected_output", "output")
_FEW: Final = ("What can you help me with?", "How do I get started?", "Where do I find the documentation?")
_HOSTS: Final = {"openai": "api.openai.com:443", "anthropic": "api.anthropic.com:443"}


def init(options: argparse.Namespace) -> int:
    """Look, write, say what to do next.

    Raises:
        ShadowEvalError: no pipeline was found, several are as likely, or the files are there already.
    """
    folder = Path.cwd()
    pipeline = _chosen(folder, options.pipeline)
    name = options.name or re.sub(r"\W+", "_", folder.name).strip("_").lower() or "pipeline"
    if not name.isidentifier() or name in sys.stdlib_module_names:
        name = f"{name}_shadow" if name.isidentifier() else "pipeline"
    evals = folder / "evals"
    if name in {pipeline.name, pipeline.module}:
        name = f"{name}_shadow"  # where it is imported, the name is taken
    script, cases = evals / f"{name}.py", evals / f"{name}.jsonl"
    for path in (script, cases):
        if path.exists():
            raise ShadowEvalError(
                f"{str(path)!r} is there already and stays as it is. Give another --name, or move it."
            )
    found, source = _cases(folder)
    lines = [_case(pipeline, question, reference) for question, reference in found]
    evals.mkdir(exist_ok=True)
    (evals / "__init__.py").touch()
    referenced = any(reference for _, reference in found)
    allow, tools = _endpoints(folder, pipeline), tools_in(folder)
    text = experiment_text(pipeline, name=name, referenced=referenced, allow=allow, tools=tools)
    script.write_text(text, encoding="utf-8")
    cases.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    options.answer.add(pipeline=pipeline.target, experiment=f"evals.{name}:{name}", written=[str(script), str(cases)])
    options.answer.add(cases=len(lines), mirror=list(mirror_lines(pipeline, name)))
    say(f"Pipeline:   {pipeline.target} (line {pipeline.line}): {', '.join(pipeline.why)}")
    say(f"Experiment: {script.relative_to(folder)}. Its candidate is the incumbent itself, until you name yours.")
    say(f"Cases:      {cases.relative_to(folder)}: {len(lines)} {source}")
    say("\nFirst run, the incumbent against itself (nothing may come out but noise):")
    say(f"  shadoweval evaluate evals.{name}:{name} --cases evals/{name}.jsonl --report reports")
    say("\nTo shadow live traffic, add to what serves:")
    for line in mirror_lines(pipeline, name):
        say(f"  {line}")
    return 0


def _chosen(folder: Path, wanted: str | None) -> Pipeline:
    found = pipelines_in(folder)
    if wanted:
        named = next((each for each in found if each.target == wanted), None)
        module, colon, name = wanted.partition(":")
        if named is None and (not colon or not module or not name.isidentifier()):
            raise ShadowEvalError(f"--pipeline {wanted!r}: write module:function, for instance app.rag:answer.")
        return named or Pipeline(module=module, name=name, line=1, score=0, why=("as you said",), question="question")
    if not found:
        raise ShadowEvalError(
            f"No pipeline was found in {str(folder)!r}: no function that takes a question and calls a model, a graph "
            "or an index. Run it in the project's folder, or name it: shadoweval init --pipeline module:function."
        )
    best = [each for each in found if each.score == found[0].score]
    if len(best) > 1:
        listed = "".join(f"\n  shadoweval init --pipeline {each.target}" for each in best[:8])
        raise ShadowEvalError(f"Several functions may be the pipeline. Say which:{listed}")
    return best[0]


def _cases(folder: Path) -> tuple[list[tuple[str, str]], str]:
    """Questions with their references from a file of the project, or three to begin with; and where they are from."""
    files = (path for pattern in ("*.jsonl", "*.csv", "*/*.jsonl", "*/*.csv") for path in folder.glob(pattern))
    for path in sorted(files):
        if any(part.startswith(".") or part in SKIPPED for part in path.relative_to(folder).parts):
            continue
        found = dict(_questions(_rows(path)))
        if len(found) >= len(_FEW):
            return list(found.items())[:_MOST], f"questions from {path.relative_to(folder)}"
    return [(question, "") for question in _FEW], "questions to begin with; put yours there, one a line"


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".csv":
                yield from csv.DictReader(file)
                return
            for line in file:
                row = json.loads(line) if line.strip() else None
                if isinstance(row, dict):
                    yield row
    except (OSError, ValueError, csv.Error):
        return


def _questions(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for row in rows:
        plain = {str(key).lower(): value for key, value in row.items() if isinstance(value, str) and value.strip()}
        question = next((plain[name] for name in _ASKED if name in plain), None)
        if question is not None:
            yield question, next((plain[name] for name in _EXPECTED if name in plain), "")


def _case(pipeline: Pipeline, question: str, reference: str) -> dict[str, Any]:
    case: dict[str, Any] = {"query": question}
    if pipeline.kind == "function":
        case["inputs"] = {pipeline.question: question, **dict.fromkeys(pipeline.needed, "EDIT")}
    if reference:
        case["reference"] = reference
    return case


def _endpoints(folder: Path, pipeline: Pipeline) -> list[str]:
    """Where the pipeline's model answers, which its sandbox must allow."""
    base = urlsplit(os.environ.get("OPENAI_BASE_URL", ""))
    if base.hostname:
        return [f"{base.hostname}:{base.port or (80 if base.scheme == 'http' else 443)}"]
    path = folder.joinpath(*pipeline.module.split(".")).with_suffix(".py")
    path = path if path.exists() else folder.joinpath("src", *pipeline.module.split(".")).with_suffix(".py")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [
        host
        for library, host in _HOSTS.items()
        if re.search(rf"^\s*(from|import) (langchain_)?{library}\b", text, re.MULTILINE)
    ]
