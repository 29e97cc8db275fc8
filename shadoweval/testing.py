"""Public fakes for every plug-in point, a clock that stands still, and builders of records.

    transport = MemoryTransport()
    experiment = Experiment(name="support", candidates={"new": "app:answer"}, traffic=Traffic(transport=transport))

Each fake does what its protocol promises and nothing else; the contract suites run over them as over the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shadoweval.codec import decode_envelope, freeze, thaw
from shadoweval.protocols import Alert, FlagProvider, Metric, StubAnswer, ToolRequest, Transport
from shadoweval.records import (
    Answered,
    Arm,
    Envelope,
    Failure,
    Hit,
    Labels,
    Observation,
    Outcome,
    Pair,
    PairScore,
    Query,
    Scored,
    ToolCall,
    Unscored,
)
from shadoweval.records.keys import short_hash
from shadoweval.scoring import Judge, Question
from shadoweval.scoring.function_names import name_of

__all__ = [
    "FixedClock",
    "FixedFlags",
    "FixedScorer",
    "FixedStub",
    "ListNotifier",
    "MemoryBatch",
    "MemoryTransport",
    "ScriptedJudge",
    "inputs_of",
    "make_observation",
    "make_pair",
    "make_query",
]

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class FixedClock:
    """A clock that moves when told to. Call it for the time; `seconds` is its monotonic twin."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def seconds(self) -> float:
        """Monotonic seconds, 0 at the start."""
        return (self.now - NOON).total_seconds()

    def tick(self, seconds: float) -> None:
        """Move on."""
        self.now += timedelta(seconds=seconds)


class MemoryBatch:
    """Frames taken from a MemoryTransport."""

    def __init__(self, transport: MemoryTransport, frames: Sequence[bytes]) -> None:
        self.frames = tuple(frames)
        self.corrupt: tuple[tuple[bytes, str], ...] = ()
        self._transport = transport

    def settle(self) -> None:
        """Forget these frames."""
        del self._transport.frames[: len(self.frames)]


class MemoryTransport(Transport):
    """Both ends in one list.

    Args:
        capacity: How many frames fit; more are lost as `full`.
        fault: Raised by every `offer`, to see what a broken transport does to its caller.
    """

    def __init__(self, *, capacity: int = 1_000_000, fault: BaseException | None = None) -> None:
        self.frames: list[bytes] = []
        self.counts: dict[str, int] = {}
        self._capacity = capacity
        self._fault = fault

    def offer(self, frame: bytes) -> str | None:
        """Keep it, or say `full`."""
        if self._fault is not None:
            raise self._fault
        if len(self.frames) >= self._capacity:
            return "full"
        self.frames.append(frame)
        return None

    def close(self) -> None:
        """Keep what there is."""

    @property
    def envelopes(self) -> tuple[Envelope, ...]:
        """The frames that lie in it, read."""
        return tuple(map(decode_envelope, self.frames))

    def receive(self, limit: int) -> MemoryBatch | None:
        """The oldest frames; they come again unless settled."""
        return MemoryBatch(self, self.frames[:limit]) if self.frames else None

    def caught_up(self) -> bool:
        """Nothing is ever on its way."""
        return True

    def counters(self) -> Mapping[str, int]:
        """Whatever was put into `counts`."""
        return dict(self.counts)


class FixedScorer:
    """Scores every pair alike.

    A text in place of a score is the reason why there is none.
    """

    version = "fixed/1"

    def __init__(self, metric: str, *, incumbent: float | str, candidate: float | str) -> None:
        self.metrics = (Metric(name=metric, fact_of_run=True),)
        self._scores = [Unscored(s) if isinstance(s, str) else Scored(s) for s in (incumbent, candidate)]

    def score(self, pair: Pair) -> Iterable[PairScore]:
        """The two scores it was made with."""
        incumbent, candidate = self._scores
        name = self.metrics[0].name
        yield PairScore(
            metric=name, query_id=pair.id, incumbent=incumbent, candidate=candidate, scorer_version=self.version
        )


class FixedStub:
    """Answers every call of the named tools with one result; passes on all others."""

    def __init__(self, results: Mapping[str, Any], *, answered: Answered = "stubbed") -> None:
        self._results = dict(results)
        self._answered: Answered = answered

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """The result of the tool's name, or None."""
        if request.name not in self._results:
            return None
        return StubAnswer(answered=self._answered, result=self._results[request.name])


class FixedFlags(FlagProvider):
    """Says yes or no to everything, or raises."""

    def __init__(self, answer: bool | Exception) -> None:
        self._answer = answer

    def mirrored(self, experiment: str, unit: str, attributes: Mapping[str, Any]) -> bool:
        """The answer it was made with."""
        del experiment, unit, attributes
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class ListNotifier:
    """Keeps what it was notified of in `alerts`; raises what `fails` with it, as long as there is any."""

    def __init__(self, receiver: str = "list", *, fails: Sequence[Exception] = ()) -> None:
        self.receiver = receiver
        self.alerts: list[Alert] = []
        self._fails = list(fails)

    def notify(self, alert: Alert) -> None:
        """Keep it."""
        if self._fails:
            raise self._fails.pop(0)
        self.alerts.append(alert)


class ScriptedJudge(Judge):
    """A judge that needs no network: it says what it is told to, and keeps what it was asked in `questions`.

    Args:
        reply: What it says to every question, as a mapping or a text; or a function from a `Question` to that, which
            may raise what a client would.
        options: As of `Judge`.
    """

    def __init__(self, reply: Callable[[Question], Any] | Mapping[str, Any] | str, **options: Any) -> None:
        self.questions: list[Question] = []
        self._reply = reply
        super().__init__(self._say, **options)

    @property
    def model(self) -> str:
        """By its script, so that what another one said is not taken for its own."""
        said = self._reply if callable(self._reply) else repr(self._reply)
        return f"scripted {name_of(said) if callable(said) else short_hash(said.encode())}"

    def _say(self, question: Question) -> Any:
        self.questions.append(question)
        return self._reply(question) if callable(self._reply) else self._reply


def inputs_of(query: Query) -> Any:
    """What a candidate is called with: the incumbent's positional arguments and keywords, as a mirror froze them."""
    return thaw(query.inputs)


def make_query(number: int = 1, *, text: str = "", **changes: Any) -> Query:
    """Query `q-NUMBER`, asked a second after the one before."""
    words = text or f"question number {number}"
    fields: dict[str, Any] = {
        "id": f"q-{number}",
        "text": words,
        "inputs": freeze(((words,), {})),
        "asked_at": NOON + timedelta(seconds=number),
    }
    return Query(**{**fields, **changes})


def make_observation(
    query: Query,
    arm: Arm = "incumbent",
    *,
    answer: str = "an answer",
    hits: Iterable[str | Hit] = (),
    calls: Sequence[ToolCall] = (),
    failure: Failure | None = None,
    **changes: Any,
) -> Observation:
    """An observation of `query`; hits are document ids, best first, or hits as they are."""
    ranked = tuple(hit if isinstance(hit, Hit) else Hit(id=hit, rank=rank) for rank, hit in enumerate(hits, start=1))
    fields: dict[str, Any] = {
        "query_id": query.id,
        "arm": arm,
        "place": "served" if arm == "incumbent" else "shadow",
        "started_at": query.asked_at,
        "duration": 0.1,
        "failure": failure,
        "outcome": None if failure else Outcome(answer=answer, hits=ranked, tool_calls=tuple(calls)),
        "calls": tuple(calls) if failure else (),
    }
    return Observation(**{**fields, **changes})


def make_pair(
    number: int = 1, *, candidate: str = "new", labels: Labels | None = None, **arms: Mapping[str, Any]
) -> Pair:
    """A pair of query `number`.

    `query`, `served`, `shadow` and `rerun` hold changes for each part; without `rerun` there is none.
    """
    query = make_query(number, **arms.get("query", {}))
    rerun = arms.get("rerun")
    return Pair(
        query=query,
        served=make_observation(query, **arms.get("served", {})),
        candidate=make_observation(query, candidate, **arms.get("shadow", {})),
        rerun=None if rerun is None else make_observation(query, place="shadow", **rerun),
        labels=labels or Labels(),
    )
