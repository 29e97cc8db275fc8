"""Where a judge is asked: an endpoint that speaks OpenAI's API, a LangChain chat model, or a function.

None of them retries: that is the judge's, which knows its deadline and its pace.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec

from shadoweval._optional import require
from shadoweval.scoring.judges.questions import Question

__all__ = ["Answer", "Endpoint", "FunctionEndpoint", "LangChainEndpoint", "NoEndpointError", "OpenAIEndpoint"]

_FORM: Final = "Answer with one JSON object and nothing else. It fits this JSON schema: "
_REFUSED: Final = 400


class NoEndpointError(Exception):
    """There is nobody to ask."""

    def __init__(self) -> None:
        super().__init__("no judge endpoint is configured: set OPENAI_API_KEY or Judge(base_url=...)")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint gave back, unread."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    """None: it does not say."""
    stopped: str = ""
    """As of `replies.read_reply`."""


class Endpoint(Protocol):
    """Somebody to ask."""

    async def ask(self, question: Question, *, index: int) -> Answer:
        """Ask once; `index` is the repeat."""
        ...

    async def close(self) -> None:
        """Let go of its connections."""
        ...


class OpenAIEndpoint:
    """Chat completions with a strict schema; of a server that takes none, with the schema in the system message.

    Args:
        options: Arguments of each call.
        base_url: As of `AsyncOpenAI`; None: as `OPENAI_BASE_URL` says, or OpenAI's own.
        api_key: None: as `OPENAI_API_KEY` says.
        client: Makes a client, where it is not `AsyncOpenAI`.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        base_url: str | None,
        api_key: str | None,
        client: Callable[[], Any] | None,
    ) -> None:
        self._options, self._base_url, self._api_key, self._make = dict(options), base_url, api_key, client
        self._client: Any = None
        self._plain = False
        """Whether the server takes no schema."""

    def _open(self) -> Any:
        if self._make is not None:
            return self._make().with_options(max_retries=0)
        key = self._api_key or os.environ.get("OPENAI_API_KEY")
        where = self._base_url or os.environ.get("OPENAI_BASE_URL")
        if not key and not where:
            raise NoEndpointError
        openai: Any = require("openai", extra="judge", needed_for="A judge")
        return openai.AsyncOpenAI(api_key=key or "none", base_url=where, max_retries=0)

    async def ask(self, question: Question, *, index: int) -> Answer:
        """Ask once; once more where the first answer is that the server does not know how it was asked."""
        if self._client is None:
            self._client = self._open()
        try:
            return _answer(await self._create(question, index=index, plain=self._plain))
        except Exception as error:
            if getattr(error, "status_code", None) != _REFUSED:
                raise
            renamed, plain = "max_completion_tokens" in str(error), self._plain
            if plain and not renamed:
                raise
            if renamed and "max_tokens" in self._options:
                self._options["max_completion_tokens"] = self._options.pop("max_tokens")
            try:
                done = await self._create(question, index=index, plain=plain or not renamed)
            except Exception as again:  # noqa: BLE001 - which of both is raised is decided here
                raise (error if getattr(again, "status_code", None) == _REFUSED else again) from None
            self._plain = plain or not renamed
            return _answer(done)

    async def _create(self, question: Question, *, index: int, plain: bool) -> Any:
        schema = dict(question.schema)
        form: dict[str, Any] = {"name": question.name, "schema": schema, "strict": True}
        messages = [{"role": each.role, "content": each.content} for each in question.messages]
        if plain:
            messages.insert(0, {"role": "system", "content": _FORM + msgspec.json.encode(schema).decode()})
        options = dict(self._options)
        if options.get("seed") is not None:
            options["seed"] += index
        return await self._client.chat.completions.create(
            messages=messages,
            response_format={"type": "json_object"} if plain else {"type": "json_schema", "json_schema": form},
            **options,
        )

    async def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.close()


def _answer(done: Any) -> Answer:
    """A completion, whatever a server left out of it."""
    choice: Any = (done.choices or [None])[0]
    message, usage = getattr(choice, "message", None), getattr(done, "usage", None)
    refused = bool(getattr(message, "refusal", None))
    finish = getattr(choice, "finish_reason", None)
    return Answer(
        text=getattr(message, "content", None) or "",
        input_tokens=getattr(usage, "prompt_tokens", None),
        output_tokens=getattr(usage, "completion_tokens", None),
        stopped="refusal" if refused else finish if finish in {"length", "content_filter"} else "",
    )


class LangChainEndpoint:
    """A chat model of LangChain's, by its `with_structured_output`; its parameters are its own."""

    def __init__(self, model: Any) -> None:
        self._model = model

    async def ask(self, question: Question, *, index: int) -> Answer:  # noqa: ARG002 - its parameters are its own
        """Ask once."""
        schema = {"title": question.name, "description": "The reply.", **question.schema}
        said = await self._model.with_structured_output(schema, include_raw=True).ainvoke(
            [(each.role, each.content) for each in question.messages]
        )
        raw, parsed = said.get("raw"), said.get("parsed")
        usage: Any = getattr(raw, "usage_metadata", None) or {}
        finish = (getattr(raw, "response_metadata", None) or {}).get("finish_reason")
        text = msgspec.json.encode(parsed).decode() if isinstance(parsed, Mapping) else str(getattr(raw, "content", ""))
        return Answer(
            text=text,
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            stopped=finish if finish in {"length", "content_filter"} else "",
        )

    async def close(self) -> None:
        """Its connections are its own."""


class FunctionEndpoint:
    """A function from a question to the reply, as a mapping or as text; it may be async."""

    def __init__(self, function: Callable[[Question], Any]) -> None:
        self._function = function

    async def ask(self, question: Question, *, index: int) -> Answer:  # noqa: ARG002 - it is a function of the question
        """Ask once; a function that is not async has a thread of its own."""
        if inspect.iscoroutinefunction(self._function):
            said = await self._function(question)
        else:
            said = await _in_thread(self._function, question)
        return Answer(text=said if isinstance(said, str) else msgspec.json.encode(said).decode())

    async def close(self) -> None:
        """There is nothing to close."""


async def _in_thread(function: Callable[[Question], Any], question: Question) -> Any:
    """In a thread that nobody waits for: one that hangs must not hang whoever asked."""
    loop = asyncio.get_running_loop()
    said: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, error: Exception | None) -> None:
        if not said.done():
            said.set_result(value) if error is None else said.set_exception(error)

    def work() -> None:
        value, error = None, None
        try:
            value = function(question)
        except Exception as raised:  # noqa: BLE001 - raised where it is awaited
            error = raised
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=work, name="shadow-judge", daemon=True).start()
    return await said
