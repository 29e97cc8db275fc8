"""What an evaluation gathers from pairs, in a form that a later look takes up.

Scoring and counting a pair is done once; a look then costs what the new pairs cost. The state is worth nothing once
anything it rests on is another: the store watches the pairs and labels, `purpose` names the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from shadoweval import __version__
from shadoweval.candidate.conversations import Conversations
from shadoweval.capture.failed_results import Judge, judged
from shadoweval.codec import data
from shadoweval.evaluation.examples import Examples
from shadoweval.evaluation.run_counts import RunCounts
from shadoweval.experiment import Experiment
from shadoweval.records import Observation, Pair, PairScore, Scored, Unscored
from shadoweval.verdict.columns import ScoredPair
from shadoweval.verdict.facts import UNFAITHFUL, facts_of
from shadoweval.verdict.trial import STATE_VERSION, Trial
from shadoweval.verdict.writes import WRITES

__all__ = ["Progress", "purpose_of", "score"]

_KEPT_AT_ONCE = 500

KeepScores = Callable[[Sequence[PairScore]], None]


def score(experiment: Experiment, pair: Pair) -> list[PairScore]:
    """Every metric of one pair; a scorer that raises, against its promise, has no score and the error as reason."""
    scores: list[PairScore] = []
    for scorer in experiment.scorers:
        try:
            scores += list(scorer.score(pair))
        except Exception as error:  # noqa: BLE001 - one pair that breaks a scorer must not end all looks
            why = Unscored(f"{type(error).__name__}: {error}")
            scores += [
                PairScore(
                    metric=metric.name, query_id=pair.id, incumbent=why, candidate=why, scorer_version=scorer.version
                )
                for metric in scorer.metrics
            ]
    return [_without_unscored(each, pair) for each in scores]


def _without_unscored(score: PairScore, pair: Pair) -> PairScore:
    """The score without the arms that say nothing about their pipeline, whatever the scorer makes of them."""
    runs = {"incumbent": pair.served, "candidate": pair.candidate, "noise": pair.rerun}
    reasons = {arm: run.unscored for arm, run in runs.items() if run is not None and run.failed and run.unscored}
    changes: dict[str, Any] = {
        arm: Unscored(reason)
        for arm, reason in reasons.items()
        # Like with like, the incumbent's score is its re-run's, whatever became of what was served.
        if isinstance(getattr(score, arm), Scored) and not (arm == "incumbent" and score.incumbent == score.noise)
    }
    return msgspec.structs.replace(score, **changes) if changes else score


def purpose_of(experiment: Experiment) -> str:
    """Changes with everything but pairs and labels that the gathered state rests on."""
    rests_on = [
        __version__,
        STATE_VERSION,
        [[scorer.version, list(scorer.metrics)] for scorer in experiment.scorers],
        list(experiment.gates),
        sorted(experiment.sandbox.stubs.effects.items()),
        sorted((tool, getattr(judge, "__qualname__", "")) for tool, judge in experiment.sandbox.stubs.failed.items()),
    ]
    return hashlib.sha256(msgspec.json.encode(rests_on)).hexdigest()


class Progress:
    """Evidence, examples and counts of the pairs so far."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self.trial = Trial(list(experiment.metrics.values()), experiment.gates)
        leading = experiment.metrics[experiment.gates[0].base] if experiment.gates else None
        self.examples = Examples(leading)
        self.runs = RunCounts()
        self.conversations = Conversations()

    def add(self, pairs: Iterable[Pair], *, keep: KeepScores) -> None:
        """Score and count pairs in query order; `keep` is handed the scores in portions."""
        self.trial.add_pairs(self._scored(pairs, keep))

    def _scored(self, pairs: Iterable[Pair], keep: KeepScores) -> Iterator[ScoredPair]:
        portion: list[PairScore] = []
        for each in pairs:
            pair = self.conversations.marked(judged_pair(each, self._experiment.sandbox.stubs.failed))
            scores = score(self._experiment, pair)
            writes = self._experiment.writes.compared(pair)
            self.examples.see(pair, scores if writes.tools else [each for each in scores if each.metric != WRITES])
            self.runs.add(pair, writes)
            portion += scores
            if len(portion) >= _KEPT_AT_ONCE:
                keep(portion)
                portion = []
            facts = facts_of(pair)
            attributes = {**facts.attributes, **circumstances(pair, floor=self._experiment.rules.min_fidelity)}
            yield msgspec.structs.replace(facts, attributes=attributes, writes=writes), scores
        if portion:
            keep(portion)

    def to_state(self) -> bytes:
        """All of it; `restore` of the same experiment takes it up."""
        parts = {part: getattr(self, part).to_state() for part in ("trial", "examples", "runs")}
        return msgspec.msgpack.encode({**parts, "conversations": self.conversations.state})

    @classmethod
    def restored(cls, experiment: Experiment, state: bytes) -> Progress:
        """What `to_state` gave, taken up.

        Raises:
            CorruptFrameError: the bytes are damaged.
        """
        parts, progress = data(state), cls(experiment)
        progress.trial.restore(parts["trial"])
        progress.examples.restore(parts["examples"])
        progress.runs.restore(parts["runs"])
        progress.conversations = Conversations(parts["conversations"])
        return progress


def judged_pair(pair: Pair, judges: Mapping[str, Judge]) -> Pair:
    """The pair with each tool call judged: whether it failed although nothing was raised."""
    served = _judged_run(pair.served, judges)
    candidate = _judged_run(pair.candidate, judges)
    rerun = pair.rerun and _judged_run(pair.rerun, judges)
    if served is pair.served and candidate is pair.candidate and rerun is pair.rerun:
        return pair
    return msgspec.structs.replace(pair, served=served, candidate=candidate, rerun=rerun)


def _judged_run(run: Observation, judges: Mapping[str, Judge]) -> Observation:
    if not run.tool_calls:
        return run
    calls = tuple(judged(call, judges) for call in run.tool_calls)
    if run.outcome is None:
        return msgspec.structs.replace(run, calls=calls)
    return msgspec.structs.replace(run, outcome=msgspec.structs.replace(run.outcome, tool_calls=calls))


def circumstances(pair: Pair, *, floor: float) -> dict[str, str]:
    """Attributes of a pair that slices tell apart: how faithful its world was, and whether its history still held."""
    attributes: dict[str, str] = {}
    calls = sum(pair.candidate.fidelity.values())
    made_up = sum(pair.candidate.fidelity.get(how, 0) for how in UNFAITHFUL)
    if calls:
        attributes["fidelity"] = "below the floor" if 1 - made_up / calls < floor else "above the floor"
    if pair.candidate.diverged_at is not None:
        attributes["history"] = "the candidate had answered otherwise before"
    return attributes
