"""`ragas(...)`: a metric of ragas's current API that asks our judge, in a process of its own.

Importing ragas takes seconds, starts a thread and patches asyncio, and its pins hold other packages back; so nothing of
it is loaded where an evaluation runs. What ragas would make a wrong number of is a reason here: a judge that judges one
statement of five, a verdict that is neither 0 nor 1, no reply at all.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import sys
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shadoweval.checks import checked_instance, checked_keywords, checked_mapping, checked_number
from shadoweval.errors import ArgumentError, MissingExtraError, closest
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Unscored
from shadoweval.scoring.batched import BatchedPairScorer, runs_of
from shadoweval.scoring.judges.asked_scorer import AskedScorer, checked_judge
from shadoweval.scoring.judges.judge import Judge
from shadoweval.scoring.judges.questions import Message, Question

if TYPE_CHECKING:
    from shadoweval.scoring.judges.sitting import Sitting

__all__ = ["ragas"]

_MOST: Final = 10_000
"""Scores that a scorer has at hand."""
_INPUTS: Final = {
    "AnswerAccuracy": ("user_input", "response", "reference"),
    "ContextEntityRecall": ("reference", "retrieved_contexts"),
    "ContextPrecision": ("user_input", "reference", "retrieved_contexts"),
    "ContextPrecisionWithReference": ("user_input", "reference", "retrieved_contexts"),
    "ContextPrecisionWithoutReference": ("user_input", "response", "retrieved_contexts"),
    "ContextRecall": ("user_input", "retrieved_contexts", "reference"),
    "ContextRelevance": ("user_input", "retrieved_contexts"),
    "ContextUtilization": ("user_input", "response", "retrieved_contexts"),
    "FactualCorrectness": ("response", "reference"),
    "Faithfulness": ("user_input", "response", "retrieved_contexts"),
    "NoiseSensitivity": ("user_input", "response", "reference", "retrieved_contexts"),
    "ResponseGroundedness": ("response", "retrieved_contexts"),
}
_WORSE_HIGHER: Final = frozenset({"NoiseSensitivity"})
_MISSING: Final = {
    "user_input": Unscored("the query has no text", informative=False),
    "response": Unscored("the pipeline returned no text; give outcome= to the mirror"),
    "reference": Unscored("no reference", informative=False),
    "retrieved_contexts": Unscored("no hit has a text"),
}
_DRY: Final = (Unscored("nobody was asked: a dry run", informative=False), 1.0)
_NOT_ASKED: Final = (Unscored("ragas was not asked", informative=False), 1.0)


@checked_keywords()
def ragas(
    metric: str,
    *,
    judge: Judge,
    settings: Mapping[str, Any] | None = None,
    python: str | PathLike[str] | None = None,
    version: str | None = None,
    deadline: float = 300.0,
) -> BatchedPairScorer:
    """A metric of `ragas.metrics.collections` that asks a judge, named `ragas.Faithfulness`.

    Args:
        metric: Its class: `Faithfulness`, `FactualCorrectness`, `ContextRecall`, ...
        judge: Who is asked; its pace, budget and kept replies are those of all scorers that have it.
        settings: Further keywords of the class: `{"mode": "precision"}`.
        python: An interpreter in whose environment ragas is installed; None: this one, with the extra `ragas`.
        version: The release of ragas there; must be given with `python`.
        deadline: Seconds for one run, with all that the judge is asked about it.
    """
    if metric not in _INPUTS:
        mend = f"It has: {', '.join(sorted(_INPUTS))}.{closest(str(metric), _INPUTS)}"
        raise ArgumentError("ragas(metric)", metric, expected="a metric of ragas that asks a judge", mend=mend)
    options = {} if settings is None else checked_mapping("ragas(settings)", settings)
    checked_number("ragas(deadline)", deadline, above=0)
    release = _release(python, version)
    named = {"metric": metric, "settings": options}
    asked = _Asked(named, checked_judge("ragas(judge)", judge), python=_interpreter(python), deadline=deadline)
    rests_on = [metric, options, release, dict(judge.identity), judge.repeats]
    digest = hashlib.sha256(msgspec.json.encode(rests_on, order="sorted")).hexdigest()[:16]
    said: dict[str, Any] = {"costly": True, "judged": True, "least_chance": judge.least_chance}
    return AskedScorer(
        metrics=(Metric(name=asked.name, higher_is_better=metric not in _WORSE_HIGHER, **said),),
        version=f"{asked.name}/1 {release} {judge.model} {digest}",
        score_one=asked.score_one,
        made_by={"model": judge.name, "prompt": f"ragas {release} {metric}", "repeats": str(judge.repeats)},
        get_ready=asked.get_ready,
        chance_of=asked.chance_of,
        asks=judge,
    )


def _interpreter(python: str | PathLike[str] | None) -> str | None:
    if python is None:
        return None
    path = shutil.which(fspath(checked_instance("ragas(python)", python, (str, PathLike))))
    if path is None:
        mend = "Make the environment first (python -m venv FOLDER, FOLDER/bin/pip install ragas)."
        raise ArgumentError("ragas(python)", python, expected="an interpreter that is there", mend=mend)
    return path


def _release(python: str | PathLike[str] | None, version: str | None) -> str:
    if version is not None:
        return checked_instance("ragas(version)", version, str)
    if python is not None:
        mend = "Write version='0.4.3', as its environment has it."
        raise ArgumentError("ragas(version)", version, expected="given with python=", mend=mend)
    try:
        return importlib.metadata.version("ragas")
    except importlib.metadata.PackageNotFoundError:
        return "absent"


class _Asked:
    """Has runs scored by the process of ragas, and their scores at hand until all are asked for."""

    def __init__(self, named: Mapping[str, Any], judge: Judge, *, python: str | None, deadline: float) -> None:
        self.name = f"ragas.{named['metric']}"
        self._named, self._judge, self._python, self._deadline = named, judge, python, deadline
        self._inputs = _INPUTS[named["metric"]]
        self._scores: dict[bytes, tuple[Score, float]] = {}

    def score_one(self, observation: Observation, pair: Pair) -> Mapping[str, Score]:
        arguments = self._arguments(observation, pair)
        if isinstance(arguments, Unscored):
            return {self.name: arguments}
        if _key(pair, arguments) not in self._scores:
            self.get_ready([pair])
        return {self.name: self._scores.get(_key(pair, arguments), _NOT_ASKED)[0]}

    def get_ready(self, pairs: Sequence[Pair]) -> None:
        """Score all runs of these pairs at once."""
        from shadoweval.scoring.judges.sitting import sitting  # noqa: PLC0415 - whoever mirrors loads no asyncio

        if not pairs or len(self._scores) > _MOST:
            self._scores.clear()
        runs: dict[bytes, tuple[str, Mapping[str, Any]]] = {}
        for pair in pairs:
            for run in runs_of(pair):
                arguments = self._arguments(run, pair)
                if not isinstance(arguments, Unscored):
                    runs[_key(pair, arguments)] = pair.id, arguments
        if not runs:
            return
        with sitting() as here:
            scores = [_DRY] * len(runs) if here.dry else here.run(self._all(here, list(runs.values())))
        self._scores.update(zip(runs, scores, strict=True))

    def chance_of(self, pair: Pair) -> float:
        """With which both arms' runs were drawn; 1 where nobody was asked about them."""
        asked = [self._arguments(run, pair) for run in (pair.served, pair.candidate)]
        keys = [_key(pair, each) for each in asked if not isinstance(each, Unscored)]
        return min((self._scores[key][1] for key in keys if key in self._scores), default=1.0)

    async def _all(self, here: Sitting, runs: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[Score, float]]:
        import asyncio  # noqa: PLC0415 - as above

        from shadoweval.scoring.ragas.parent import RagasChild  # noqa: PLC0415 - as above

        async def ask(prompt: str, schema: Mapping[str, Any], query_id: str) -> Any:
            messages = (Message("user", prompt),)
            question = Question(messages=messages, schema=schema, name="ragas", query_id=query_id)
            ((said, chance),) = await self._judge.asking([question], here)
            return (said if isinstance(said, Unscored) else said.content), chance

        process = here.processes.get(self)
        if not isinstance(process, RagasChild):
            process = RagasChild(self._program(), self._named, ask=ask, deadline=self._deadline)
            here.processes[self] = process
        return await asyncio.gather(*(process.score(query_id, arguments) for query_id, arguments in runs))

    def _program(self) -> str:
        if self._python is None and _release(None, None) == "absent":
            raise MissingExtraError("ragas", extra="ragas", needed_for=self.name)
        return self._python or sys.executable

    def _arguments(self, observation: Observation, pair: Pair) -> Mapping[str, Any] | Unscored:
        outcome = observation.outcome
        has: dict[str, Any] = {
            "user_input": pair.query.text,
            "response": outcome.answer if outcome else None,
            "reference": pair.labels.reference,
            "retrieved_contexts": [hit.text for hit in observation.hits if hit.text],
        }
        missing = next((name for name in self._inputs if not has[name]), None)
        return {name: has[name] for name in self._inputs} if missing is None else _MISSING[missing]


def _key(pair: Pair, arguments: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(msgspec.json.encode([pair.id, arguments], order="sorted")).digest()
