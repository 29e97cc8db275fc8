"""A judge: a model that scores answers, whoever serves it.

It is shared: scorers of one experiment that have the same `Judge` share its pace, its budget and its replies.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from shadoweval.checks import (
    checked_function,
    checked_instance,
    checked_keywords,
    checked_number,
)
from shadoweval.clock import Clock, utc_now
from shadoweval.errors import ArgumentError
from shadoweval.records import Unscored
from shadoweval.scoring.function_names import name_of
from shadoweval.scoring.judges.budget import JudgeBudget
from shadoweval.scoring.judges.kept import KeptInMemory
from shadoweval.scoring.judges.questions import Question, Reply

if TYPE_CHECKING:
    from datetime import datetime

    from shadoweval.scoring.judges.asking import Asked
    from shadoweval.scoring.judges.endpoints import Endpoint
    from shadoweval.scoring.judges.sitting import Sitting

__all__ = ["Judge"]

_MEND: Final = "Write Judge('gpt-4.1-mini'), Judge(ChatOpenAI(...)) or Judge(function of a Question)."


@checked_keywords()
class Judge:
    """A model that is asked for scores. Nothing is loaded and nobody is asked before the first question.

    Args:
        model: Name of a model at an endpoint that speaks OpenAI's API; a LangChain chat model, with its own parameters;
            or a function from a `Question` to the reply, as a mapping or JSON text, which may be async.
        base_url: The endpoint; None: `OPENAI_BASE_URL`, or OpenAI's own.
        api_key: None: `OPENAI_API_KEY`. It is in no report, store or cache.
        temperature: None: the model's own, for models that refuse one.
        seed: Of the first repeat; the next ones have the next numbers.
        max_tokens: Of a reply. What is cut off there is unscored.
        price: USD for a million tokens (in, out); a budget in USD needs it.
        budget: What may be spent; None: whatever the questions take.
        concurrency: Calls at the same time, at most; fewer while the endpoint is busy.
        deadline: Seconds for one question, with its retries.
        repeats: How often each question is asked; the reply is what most of them said, and how many is shown.
        client: Makes a client that has `chat.completions.create`, for instance `lambda: AsyncAzureOpenAI(...)`.
        clock: Now, for the budget's period.
    """

    def __init__(
        self,
        model: Any,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        temperature: float | None = 0.0,
        seed: int | None = None,
        max_tokens: int = 1024,
        price: tuple[float, float] | None = None,
        budget: JudgeBudget | None = None,
        concurrency: int = 8,
        deadline: float = 60.0,
        repeats: int = 1,
        client: Callable[[], Any] | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._model, self._base_url, self._api_key = _checked_model(model), base_url, api_key
        self._client = checked_function("Judge(client)", client)
        self._options: dict[str, Any] = {
            "temperature": temperature
            if temperature is None
            else checked_number("Judge(temperature)", temperature, low=0, high=2),
            "seed": seed if seed is None else checked_number("Judge(seed)", seed, whole=True),
            "max_tokens": checked_number("Judge(max_tokens)", max_tokens, low=1, whole=True),
        }
        self._concurrency = checked_number("Judge(concurrency)", concurrency, low=1, high=1000, whole=True)
        self._deadline = checked_number("Judge(deadline)", deadline, above=0)
        self.repeats: int = checked_number("Judge(repeats)", repeats, low=1, high=100, whole=True)
        self._price = None if price is None else _checked_price(price)
        self.budget = None if budget is None else checked_instance("Judge(budget)", budget, JudgeBudget)
        if self.budget is not None and self.budget.usd is not None and self._price is None:
            mend = "Write price=(USD for a million tokens in, out), or a budget of calls= or tokens=."
            raise ArgumentError(
                "Judge(price)", "nothing", expected=f"known for a budget in USD ({self.name})", mend=mend
            )
        self._clock, self._kept = clock, KeptInMemory()
        self._asked: Asked | None = None

    def __repr__(self) -> str:
        return f"Judge({self.name!r})"

    @property
    def model(self) -> str:
        """The model's name."""
        return name_of(self._model)

    @property
    def name(self) -> str:
        """The model, and where it is asked if that was said: no password, no key."""
        host = urlsplit(self._base_url).hostname if self._base_url else None
        return f"{self.model} at {host}" if host else self.model

    @property
    def host(self) -> str:
        """Where it is asked; empty: a function, or a client that says nothing of it."""
        where = urlsplit(str(self.identity["endpoint"])).hostname
        return where or ("api.openai.com" if isinstance(self._model, str) and self._client is None else "")

    @property
    def priced(self) -> bool:
        """Whether what it costs is known."""
        return self._price is not None

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that its replies depend on beside the question."""
        own = getattr(self._model, "_identifying_params", None)
        where = getattr(self._model, "openai_api_base", None) or getattr(self._model, "base_url", None)
        where = self._base_url or where or os.environ.get("OPENAI_BASE_URL")
        return {
            "model": self.model,
            "endpoint": str(where or ""),
            "client": "" if self._client is None else name_of(self._client),
            **(self._options if isinstance(self._model, str) else {}),
            **({} if own is None else {"own": repr(sorted(dict(own).items()))}),
        }

    @property
    def least_chance(self) -> float:
        """The least chance with which a query is drawn to be judged, as of `Metric.least_chance`."""
        return 1.0 if self.budget is None else self.budget.least_chance

    def ask_many(self, questions: Sequence[Question]) -> list[Reply | Unscored]:
        """What it says to each question, in their order: a checked reply, or why there is none.

        May be called from any thread, also where an event loop runs.

        Raises:
            MissingExtraError: the extra `judge` is not installed.
        """
        return [said for said, _ in self.ask_drawn(questions)]

    def ask_drawn(self, questions: Sequence[Question]) -> list[tuple[Reply | Unscored, float]]:
        """As `ask_many`, each with the chance with which its query was drawn, whether it was or not."""
        # Only here: whoever mirrors loads scorers, and no asyncio.
        from shadoweval.scoring.judges.sitting import sitting  # noqa: PLC0415

        with sitting() as here:
            return here.run(self.asking(questions, here))

    def asking(
        self, questions: Sequence[Question], here: Sitting
    ) -> Coroutine[Any, Any, list[tuple[Reply | Unscored, float]]]:
        """As `ask_drawn`, for who is on the sitting's loop already."""
        from shadoweval.scoring.judges.asking import Asking  # noqa: PLC0415 - as above

        return Asking(self._as_asked(), here, here.kept or self._kept).all(questions)

    def now(self) -> datetime:
        """By its clock, of which a budget's period is told."""
        return self._clock()

    def _as_asked(self) -> Asked:
        from shadoweval.scoring.judges.asking import Asked  # noqa: PLC0415 - as above
        from shadoweval.scoring.judges.pace import Pace  # noqa: PLC0415

        if self._asked is None:
            self._asked = Asked(
                asked_of=self.identity,
                name=self.name,
                open=self._open,
                pace=Pace(self._concurrency),
                concurrency=self._concurrency,
                deadline=self._deadline,
                repeats=self.repeats,
                longest=self._options["max_tokens"],
                budget=self.budget,
                price=self._price,
                now=self._clock,
            )
        return self._asked

    def _open(self) -> Endpoint:
        from shadoweval.scoring.judges import endpoints  # noqa: PLC0415 - as above

        if hasattr(self._model, "with_structured_output"):
            return endpoints.LangChainEndpoint(self._model)
        if not isinstance(self._model, str):
            return endpoints.FunctionEndpoint(self._model)
        options = {name: value for name, value in self._options.items() if value is not None}
        return endpoints.OpenAIEndpoint(
            {"model": self._model, **options}, base_url=self._base_url, api_key=self._api_key, client=self._client
        )


def _checked_model(model: Any) -> Any:
    named = isinstance(model, str) and bool(model.strip())
    if named or hasattr(model, "with_structured_output") or (callable(model) and not isinstance(model, type)):
        return model
    raise ArgumentError("Judge(model)", model, expected="a model", mend=_MEND)


def _checked_price(price: Any) -> tuple[float, float]:
    sides = cast("tuple[Any, ...]", price) if isinstance(price, tuple | list) else ()
    if len(sides) != 2:
        mend = "Write price=(0.4, 1.6)."
        raise ArgumentError(
            "Judge(price)", price, expected="two numbers, USD for a million tokens in and out", mend=mend
        )
    into, out = (checked_number("Judge(price)", side, low=0) for side in sides)
    return into, out
