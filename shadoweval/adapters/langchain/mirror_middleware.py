"""`ShadowMiddleware`: the mirror as a middleware of LangChain's `create_agent`, where the agent is not yours to wrap.

    agent = create_agent(model, tools, middleware=[ShadowMiddleware(support.mirror(sample=0.1)), ...])

First in the list, so that it sees what retries and fallbacks below it make of an error. A query's input is the agent's
state before the turn, the history of its thread included, so that a candidate needs no memory of it.

Middleware is not told of a turn that ends elsewhere: in another middleware's hook, at the recursion limit, because its
stream is abandoned. Of these a callback handler is told, which only graphs get (`turn_ends`).
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from time import perf_counter
from typing import Annotated, Any, Final, NotRequired

from langchain.agents.middleware import AgentMiddleware, AgentState
from langchain.agents.middleware.types import PrivateStateAttr
from langgraph.errors import GraphBubbleUp

from shadoweval.adapters.langchain.mirror_entries import begun, over
from shadoweval.adapters.langchain.mirror_keywords import keywords_of
from shadoweval.adapters.langchain.mirror_runnable import run_sites
from shadoweval.adapters.langchain.turn_ends import expect_end, register
from shadoweval.capture.recorder import current
from shadoweval.mirror.call import Call, alone
from shadoweval.mirror.decorator import Mirror
from shadoweval.mirror.finish import finish

__all__ = ["ShadowMiddleware"]

MAX_OPEN: Final = 10_000
_KEY: Final = "shadow_call"


class ShadowState(AgentState[Any]):
    """The agent's state with a key of the middleware's own, which is neither input nor output."""

    shadow_call: NotRequired[Annotated[str, PrivateStateAttr]]


def _without_key(state: Any) -> dict[str, Any]:
    return {name: part for name, part in state.items() if name != _KEY}


def _finish(call: Call, value: Any = None, *, error: BaseException | None = None) -> None:
    at = perf_counter()
    over(call, error)
    finish(call, value, error=error, at=at)


class ShadowMiddleware(AgentMiddleware):
    """Makes one query of each run of an agent, sync or async.

    Args:
        mirror: How. Its readers are called with the state, and with `config=` where they take it.
        entry: `"module:attribute"` of the agent, for re-runs of the incumbent.
    """

    state_schema = ShadowState

    def __init__(self, mirror: Mirror, *, entry: str | None = None) -> None:
        super().__init__()
        self._sites = run_sites(mirror, entry)
        self._calls: OrderedDict[str, Call] = OrderedDict()
        self._lock = threading.Lock()
        self._turns = 0
        register()

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """A turn begins."""
        return self._begun("invoke", state, runtime)

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """As `before_agent`."""
        return self._begun("ainvoke", state, runtime)

    def _begun(self, method: str, state: Any, runtime: Any) -> dict[str, Any]:
        context = {"context": getattr(runtime, "context", None)}
        call = begun(self._sites[method], _without_key(state), functools.partial(keywords_of, None, context))
        if call is None:
            return {_KEY: ""}
        with self._lock:
            self._turns += 1
            key = str(self._turns)
            self._calls[key] = call
            oldest = self._calls.popitem(last=False)[1] if len(self._calls) > MAX_OPEN else None
        if oldest is not None:
            _finish(oldest, error=GeneratorExit())
        expect_end(key, self._failed)
        return {_KEY: key}

    def after_agent(self, state: Any, runtime: Any) -> None:
        """The turn has its answer."""
        del runtime
        call = self._ended(state)
        if call is not None:
            _finish(call, _without_key(state))

    async def aafter_agent(self, state: Any, runtime: Any) -> None:
        """As `after_agent`."""
        self.after_agent(state, runtime)

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """The model, or a tool, is called."""
        with self._inside(request.state):
            return handler(request)

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """As `wrap_model_call`."""
        with self._inside(request.state):
            return await handler(request)

    wrap_tool_call = wrap_model_call
    awrap_tool_call = awrap_model_call

    def _ended(self, state: Any) -> Call | None:
        with self._lock:
            return self._calls.pop(state.get(_KEY, ""), None)

    def _failed(self, key: str, error: BaseException) -> None:
        """The run that a turn lies in has failed, or was given up."""
        with self._lock:
            call = self._calls.pop(key, None)
        if call is not None:
            _finish(call, error=error)

    @contextmanager
    def _inside(self, state: Any) -> Generator[None]:
        """What runs here belongs to the turn; an error that comes out ends the turn, unless it only interrupts it."""
        call = self._calls.get(state.get(_KEY, ""))
        if call is None:
            yield
            return
        expect_end(state.get(_KEY, ""), self._failed)  # a turn that was interrupted goes on in another run
        token = alone.set(call) if call.recorder is None else current.set(call.recorder)
        try:
            yield
        except BaseException as error:
            ended = None if isinstance(error, GraphBubbleUp) else self._ended(state)
            if ended is not None:
                _finish(ended, error=error)
            raise
        finally:
            token.var.reset(token)  # pyright: ignore[reportArgumentType] - of whichever variable it is
