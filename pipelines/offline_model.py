# ruff: noqa: ARG002 - LangChain sets these signatures, and rules need few of the arguments.
"""Chat models that need no network, no key and no weights: rules and extraction, never a language model.

Both speak LangChain's `BaseChatModel` interface, so that everything built for a real model (agents, callbacks,
streams, usage) runs offline and gives the same answer each time. Reports name them by `model_name`, which says
"offline".
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Protocol

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import SkipValidation

__all__ = [
    "UNKNOWN",
    "Embedder",
    "OfflineChat",
    "OfflineReader",
    "best_sentences",
    "sentences_of",
    "tool_call",
    "word_fits",
]

UNKNOWN = "I do not know."

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_TOOL_CALL = 8

_WORD = re.compile(r"[a-z0-9_]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_QUESTION_MARK = re.compile(r"^\s*question\s*:", re.IGNORECASE | re.MULTILINE)
_STOP_WORDS = frozenset(
    _WORD.findall(
        "a about an and any are as at be by can could did do does for from get had has have how i if in is it its "
        "me my no not of on or our so than that the their then there they this to us was we were what when where "
        "which who why will with would you your"
    )
)


class Embedder(Protocol):
    """The two methods of LangChain's `Embeddings` that the reader uses."""

    def embed_documents(self, texts: list[str]) -> Sequence[Sequence[float]]:
        """Return a vector for each text."""
        ...

    def embed_query(self, text: str) -> Sequence[float]:
        """Return the question's vector."""
        ...


class OfflineChat(BaseChatModel):
    """What the offline models share: sync, async and streamed replies, bound tools and a token estimate.

    `usage_metadata` is an estimate: one token for each four characters of text, and eight for a tool call.
    """

    model_name: str = "offline"

    @abstractmethod
    def _reply(self, messages: list[BaseMessage], tools: Sequence[str]) -> AIMessage:
        """Return the next message, given the names of the bound tools."""

    @property
    def _llm_type(self) -> str:
        return "offline"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def _get_ls_params(self, stop: list[str] | None = None, **settings: Any) -> Any:
        params = super()._get_ls_params(stop=stop, **settings)
        params.update(ls_provider="offline", ls_model_name=self.model_name)
        return params

    def bind_tools(
        self,
        tools: Sequence[Any],
        *,
        tool_choice: str | None = None,
        **settings: Any,
    ) -> Runnable[Any, AIMessage]:
        """Offer tools to the model, as `create_agent` does."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **settings)

    def _message(self, messages: list[BaseMessage], tools: list[dict[str, Any]] | None) -> AIMessage:
        message = self._reply(messages, [tool["function"]["name"] for tool in tools or []])
        message.usage_metadata = _usage(messages, message)
        message.response_metadata = {
            "model_name": self.model_name,
            "finish_reason": "tool_calls" if message.tool_calls else "stop",
        }
        return message

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        *,
        tools: list[dict[str, Any]] | None = None,
        **_settings: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._message(messages, tools))])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **settings: Any
    ) -> ChatResult:
        return self._generate(messages, stop, **settings)  # No waiting anywhere: a thread would only cost.

    def _chunks(self, messages: list[BaseMessage], tools: list[dict[str, Any]] | None) -> Iterator[ChatGenerationChunk]:
        message = self._message(messages, tools)
        for index, call in enumerate(message.tool_calls):
            part = tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index)
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))
        for word in re.findall(r"\S+\s*", message.text):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        last = AIMessageChunk(
            content="",
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=last)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        *,
        tools: list[dict[str, Any]] | None = None,
        **_settings: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, tools):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        *,
        tools: list[dict[str, Any]] | None = None,
        **_settings: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, tools):
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


class OfflineReader(OfflineChat):
    """An extractive reader: answers with the sentences of the given text that fit the question best.

    The text is what tools returned since the last user message, the system messages, and whatever stands before
    a line starting with "Question:" in the user message. Nothing is ever worded anew; when no sentence fits, the
    answer is "I do not know.".

    Attributes:
        embedder: Judges fit by cosine similarity; without one, fit is the share of the question's words (weighted
            by how rare they are in the text) that a sentence holds.
        max_sentences: How many sentences an answer may have.
        least_fit: A sentence below it does not count, in [0, 1]; None takes 0.35 for cosines, 0.3 for words.
    """

    model_name: str = "offline-extractive-reader"
    embedder: SkipValidation[Embedder] | None = None
    max_sentences: int = 2
    least_fit: float | None = None

    def _reply(self, messages: list[BaseMessage], tools: Sequence[str]) -> AIMessage:
        last = max((i for i, m in enumerate(messages) if isinstance(m, HumanMessage)), default=len(messages))
        question, given = _split_question(messages[last].text) if last < len(messages) else ("", "")
        read = [m.text for m in messages if m.type == "system"]
        read += [given, *(m.text for m in messages[last + 1 :] if isinstance(m, ToolMessage))]
        return AIMessage(
            best_sentences(
                question,
                "\n".join(read),
                embedder=self.embedder,
                most=self.max_sentences,
                least_fit=self.least_fit,
            )
        )


def sentences_of(text: str) -> list[str]:
    """Return the different sentences of a text that hold more than one word."""
    return list(dict.fromkeys(s.strip() for s in _SENTENCE_END.split(text) if len(_words(s)) > 1))


def best_sentences(
    question: str,
    text: str,
    *,
    embedder: Embedder | None = None,
    most: int = 2,
    least_fit: float | None = None,
) -> str:
    """Return the sentences of `text` that fit the question best, best first, or "I do not know."."""
    sentences = sentences_of(text)
    if not sentences or not question.strip():
        return UNKNOWN
    fits = _cosines(question, sentences, embedder) if embedder else word_fits(question, sentences)
    floor = least_fit if least_fit is not None else (0.35 if embedder else 0.3)
    ranked = sorted(zip(fits, sentences, strict=True), key=lambda pair: -pair[0])
    # A second sentence that fits only half as well as the first answers another question.
    kept = [sentence for fit, sentence in ranked if fit >= max(floor, ranked[0][0] / 2) and fit > 0]
    return " ".join(kept[:most]) or UNKNOWN


def tool_call(name: str, args: dict[str, Any], *, turn: int) -> AIMessage:
    """Return a message that asks for one tool call; its id depends on nothing but the arguments given here."""
    key = json.dumps([turn, name, args], sort_keys=True)
    call_id = f"call_{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": call_id}])


def _usage(messages: list[BaseMessage], reply: AIMessage) -> UsageMetadata:
    read = sum(len(message.text) for message in messages) // CHARACTERS_PER_TOKEN
    written = len(reply.text) // CHARACTERS_PER_TOKEN + TOKENS_PER_TOOL_CALL * len(reply.tool_calls)
    return UsageMetadata(input_tokens=read, output_tokens=max(1, written), total_tokens=read + max(1, written))


def _split_question(text: str) -> tuple[str, str]:
    marks = list(_QUESTION_MARK.finditer(text))
    return (text[marks[-1].end() :].strip(), text[: marks[-1].start()]) if marks else (text, "")


def _words(text: str) -> set[str]:
    # A plural "s" is the one ending that costs most matches in short English texts.
    return {w[:-1] if len(w) > 3 and w.endswith("s") else w for w in _WORD.findall(text.lower())} - _STOP_WORDS


def word_fits(question: str, sentences: Sequence[str]) -> list[float]:
    """Return for each text the share of the question's words it holds; rare words weigh more."""
    asked = _words(question)
    held = [_words(sentence) for sentence in sentences]
    weight = {w: math.log1p(len(held) / (1 + sum(w in words for words in held))) for w in asked}
    whole = sum(weight.values())
    # The small price per word prefers the shorter of two sentences that hold the same words.
    return [sum(weight[w] for w in asked & words) / whole - 0.002 * len(words) if whole else 0.0 for words in held]


def _cosines(question: str, sentences: list[str], embedder: Embedder) -> list[float]:
    asked = embedder.embed_query(question)
    return [_cosine(asked, vector) for vector in embedder.embed_documents(sentences)]


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    norm = math.hypot(*a) * math.hypot(*b)
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / norm if norm else 0.0
