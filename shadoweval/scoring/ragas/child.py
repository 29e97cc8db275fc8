"""The program of the process in which ragas runs: the standard library and ragas, and nothing of ours.

It speaks JSON lines over its standard input and output. The first line names the metric; each further one is a run to
be scored, or what the judge said, for the judge is asked by whoever started this.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import itertools
import json
import os
import sys
import tempfile
import types
from typing import Any, Final

__all__ = ["main"]

_LINE: Final = 2**28
_ASKED_OF: Final[contextvars.ContextVar[int]] = contextvars.ContextVar("run")
_STUBBED: Final = "langchain_community.chat_models.vertexai"
_INPUT: Final = "Now perform the same with the following input\ninput: "
_YES_OR_NO: Final = frozenset({"verdict", "attributed"})
_RATINGS: Final = {
    "AnswerAccuracyOutput": [0, 2, 4],
    "ContextRelevanceOutput": [0, 1, 2],
    "ResponseGroundednessOutput": [0, 1, 2],
}


class _NoReplyError(Exception):
    """The judge gave none; who asked for the run knows why."""


def fitted(schema: dict[str, Any], prompt: str) -> dict[str, Any]:
    """The schema of a reply with what ragas takes for granted: each statement judged once, verdicts that are 0 or 1."""
    for model in (schema, *schema.get("$defs", {}).values()):
        if "properties" in model:  # endpoints that hold a model to a schema want both
            model.update(required=list(model["properties"]), additionalProperties=False)
        for name, field in model.get("properties", {}).items():
            if name in _YES_OR_NO and field.get("type") == "integer":
                field["enum"] = [0, 1]
            if name == "rating" and model.get("title") in _RATINGS:
                field["enum"] = _RATINGS[model["title"]]
            if name in {"statements", "claims", "classifications"} and field.get("type") == "array":
                field["minItems"] = 1
    listed = schema.get("properties", {}).get("statements")
    asked = _statements(prompt)
    if listed is not None and asked is not None:
        listed["minItems"] = listed["maxItems"] = len(asked)
    return schema


def _statements(prompt: str) -> list[str] | None:
    """The statements that the prompt asks about; None: it asks about none."""
    text = prompt.rpartition(_INPUT)[2]
    try:
        value = json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        return None
    return value.get("statements") if isinstance(value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - of JSON


class _Conversation:
    """What is said to whoever started this, and what is waited for."""

    def __init__(self, out: Any) -> None:
        self._out, self._numbers = out, itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    def say(self, **message: Any) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    async def ask(self, prompt: str, schema: dict[str, Any]) -> Any:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self.say(ask=number, run=_ASKED_OF.get(), prompt=prompt, schema=fitted(schema, prompt))
        content = await self._waiting[number]
        if content is None:
            raise _NoReplyError
        return content

    def answered(self, number: int, content: Any) -> None:
        self._waiting.pop(number).set_result(content)


def _metric(named: dict[str, Any], conversation: _Conversation) -> Any:
    llms = importlib.import_module("ragas.llms.base")

    async def agenerate(_: Any, prompt: str, model: Any) -> Any:
        return model.model_validate(await conversation.ask(prompt, model.model_json_schema()))

    def generate(*_: Any) -> Any:
        raise NotImplementedError("this judge is asked by agenerate alone")

    judge: Any = type("Judge", (llms.InstructorBaseRagasLLM,), {"agenerate": agenerate, "generate": generate})
    collections = importlib.import_module("ragas.metrics.collections")
    return getattr(collections, named["metric"])(llm=judge(), **named["settings"])


def _load() -> None:
    """Import ragas, which asks langchain-community for a module that newer ones lack, and uses it only by name."""
    try:
        importlib.import_module(_STUBBED)
    except ImportError:
        stub: Any = types.ModuleType(_STUBBED)
        stub.ChatVertexAI = type("ChatVertexAI", (), {})
        sys.modules[_STUBBED] = stub
    importlib.import_module("ragas")


async def _score(metric: Any, asked: dict[str, Any], conversation: _Conversation) -> None:
    _ASKED_OF.set(asked["run"])
    try:
        scored = await metric.ascore(**asked["arguments"])
        conversation.say(run=asked["run"], value=repr(float(scored.value)))
    except Exception as error:  # noqa: BLE001 - whatever ragas raises, this run has no score, and the next ones have
        conversation.say(run=asked["run"], error=f"{type(error).__name__}: {error}")


async def _talk(conversation: _Conversation) -> None:
    lines = asyncio.StreamReader(limit=_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer)
    try:
        _load()
        metric = _metric(json.loads(await lines.readline()), conversation)
    except Exception as error:  # noqa: BLE001 - the sentence is for whoever started this
        conversation.say(broken=f"{type(error).__name__}: {error}")
        return
    running: set[asyncio.Task[None]] = set()
    while line := await lines.readline():
        message = json.loads(line)
        if "answer" in message:
            conversation.answered(message["answer"], message["content"])
            continue
        task = asyncio.create_task(_score(metric, message, conversation))
        running.add(task)
        task.add_done_callback(running.discard)


def main() -> None:
    """Score what is asked for until standard input ends."""
    del sys.path[0]  # this file's folder
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what ragas prints is no line of ours
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(RAGAS_DO_NOT_TRACK="true", XDG_DATA_HOME=folder, XDG_CACHE_HOME=folder)
        asyncio.run(_talk(_Conversation(out)))


if __name__ == "__main__":
    main()
