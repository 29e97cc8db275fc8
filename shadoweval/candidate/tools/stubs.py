"""How a candidate's tool calls are answered: policies in order, the first that has an answer gives it.

The order is: the incumbent's record, your function for the tool, worlds, a simulated result (writes), the tool itself
(reads that you allow), refusal. A world that holds what the candidate itself wrote comes before the record.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from shadoweval.candidate.tools.policies import Live, Policy, World
from shadoweval.candidate.tools.replay import Replay
from shadoweval.candidate.tools.session import Session
from shadoweval.candidate.tools.simulated import Simulate
from shadoweval.errors import ExperimentError
from shadoweval.records import Effect, Envelope

__all__ = ["Stubs"]


class Stubs:
    """What answers the tools of an experiment's candidates.

    Args:
        tools: By tool: a function that stands in for it (after the record), or a sequence of policies that is the
            whole order for that tool. Refusal always ends it.
        default: Whole order for every tool that `tools` gives no sequence; None: the order described above.
        effects: Tool -> `read`, `write` or `unknown`; wins over what the tool declares.
        live: Reads that may run for real: True, False, or their names.
        worlds: Throw-away copies of parts of the world, see `world`.
        schemas: Tool -> JSON schema of its output, from which a result is simulated where no recorded one is.
        functions: Tool -> `"module:qualname"` of a plain function that is to be answered as a tool, though it is not
            declared one: those of an OpenAI function-calling loop, for instance. `effects` says what it does.
        simulate: Whether writes that nothing else answers get a simulated result; else they are refused.

    It travels to the candidate's process by pickle, so functions must be importable: no lambdas, no closures.
    """

    def __init__(
        self,
        tools: Mapping[str, Policy | Sequence[Policy]] | None = None,
        *,
        default: Sequence[Policy] | None = None,
        effects: Mapping[str, Effect] | None = None,
        live: bool | Collection[str] = False,
        worlds: Sequence[World] = (),
        schemas: Mapping[str, Mapping[str, Any]] | None = None,
        functions: Mapping[str, str] | None = None,
        simulate: bool = True,
    ) -> None:
        self.tools = dict(tools or {})
        self.default = None if default is None else tuple(default)
        self.effects: dict[str, Effect] = dict(effects or {})
        self.live = live if isinstance(live, bool) else tuple(live)
        self.worlds = tuple(worlds)
        self.schemas = {name: dict(schema) for name, schema in (schemas or {}).items()}
        self.functions = dict(functions or {})
        self.simulate = simulate

    @property
    def exclusive(self) -> bool:
        """Whether a process can serve only one query at a time under these stubs."""
        return any(world.exclusive for world in self.worlds)

    def packed(self, extract: Callable[[Any], Any] | None = None) -> bytes:
        """These stubs, and a function beside them, as bytes for a process of ours.

        Raises:
            ExperimentError: a function that the other process can't import.
        """
        try:
            return pickle.dumps((self, extract))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ExperimentError(
                f"The stubs can't be sent to the candidate's process: {error}. Use functions of a module, no lambdas "
                "or functions inside functions."
            ) from error

    def order(self, tool: str) -> tuple[Policy, ...]:
        """The policies for a tool, without worlds and the final refusal."""
        own = self.tools.get(tool)
        if isinstance(own, Sequence):
            return tuple(own)
        between = () if own is None else (own,)
        if self.default is not None:
            return (*between, *self.default)
        live = () if self.live is False else (Live(None if self.live is True else self.live),)
        return (Replay(), *between, *((Simulate(),) if self.simulate else ()), *live)

    def opened(self, envelope: Envelope, *, scratch: Path, shapes: Mapping[str, Any] | None = None) -> Session:
        """These stubs for one query. `shapes`: what results of writes look like, by tool, as other queries showed."""
        return Session(self, envelope, scratch=scratch, shapes=shapes)
