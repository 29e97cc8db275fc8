"""What an evaluation gathers from pairs, in a form that a later look takes up.

Scoring and counting a pair is done once; a look then costs what the new pairs cost. The state is worth nothing once
anything it rests on is another: the store watches the pairs and labels, `purpose` names the rest.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import is_
from typing import Any, Final

import msgspec

from shadoweval import __version__
from shadoweval.candidate.conversations import Conversations
from shadoweval.capture.failed_results import Judge, judged
from shadoweval.capture.failure_rules import named
from shadoweval.codec import data, heft
from shadoweval.errors import CorruptFrameError
from shadoweval.evaluation.collecting import rarely_collecting
from shadoweval.evaluation.evidence_growth import Growth
from shadoweval.evaluation.examples import Examples
from shadoweval.evaluation.judge_probes import JudgeProbes
from shadoweval.evaluation.probes import Probes
from shadoweval.evaluation.rescoring import KnownScores, Rescoring, score
from shadoweval.evaluation.run_counts import RunCounts
from shadoweval.evaluation.stage_checks import StageChecks, broken_fields, stage_notices
from shadoweval.evaluation.style import Style
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.experiment import Experiment
from shadoweval.records import Coverage, FailureCount, JudgeSeen, Observation, Pair, PairScore, PastLook, StagesSeen
from shadoweval.scoring.divergence import first_divergence
from shadoweval.verdict.columns import ScoredPair
from shadoweval.verdict.facts import UNFAITHFUL, facts_of
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import STATE_VERSION, Trial
from shadoweval.verdict.weighing import looks_of
from shadoweval.verdict.writes import WRITES

__all__ = ["KeepScores", "Progress", "purpose_of", "score"]

_AT_ONCE: Final = 500
"""Pairs whose scores are looked up, and kept, together."""
_BYTES_AT_ONCE: Final = 16 * 1024 * 1024
"""Of memory, at most (`codec.heft`); records of more are fewer pairs."""

_PARTS: Final = ("trial", "examples", "runs", "probes", "judge_probes", "style", "stages")

KeepScores = Callable[[Sequence[PairScore]], object]


def purpose_of(experiment: Experiment) -> str:
    """Changes with everything but pairs and labels that the gathered state rests on."""
    rests_on = [
        __version__,
        STATE_VERSION,
        [[scorer.version, list(scorer.metrics)] for scorer in experiment.scorers],
        list(experiment.gates),
        experiment.rules.population,
        experiment.rules.checks == "off",
        sorted(experiment.sandbox.stubs.effects.items()),
        sorted((tool, named(judge)) for tool, judge in experiment.sandbox.stubs.failed.items()),
    ]
    return hashlib.sha256(msgspec.json.encode(rests_on)).hexdigest()


class Progress:
    """Evidence, examples and counts of the pairs so far."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self.trial = Trial(list(experiment.metrics.values()), experiment.gates, visits=experiment.rules.visits)
        leading = experiment.metrics[experiment.gates[0].base] if experiment.gates else None
        self.examples = Examples(leading)
        self.runs = RunCounts()
        self.conversations = Conversations()
        self.style = Style()
        self.stages = StageChecks()
        self.seen, self.of_stages = StagesSeen(), tuple[str, ...]()
        """What the stages saw, and what of it is worth a word; see `judge_stages`."""
        self.judges: tuple[JudgeSeen, ...] = ()
        """Whose word the scores are, where an evaluation has looked."""
        self.probes = Probes(experiment)
        self.trial.probes = self.probes.counts
        self.judge_probes = JudgeProbes(experiment)
        self.trial.judge_probes = self.judge_probes.counts
        self.growth: Growth | None = None

    def watch_growth(self, rules: Rules) -> None:
        """Note how the evidence grows from here on; of no use where there are pairs already."""
        self.growth = None if self.trial.pairs else Growth(self.trial, rules)

    @property
    def points(self) -> tuple[PastLook, ...]:
        """Of the evidence on the way, where it was watched."""
        return () if self.growth is None else self.growth.points(self.trial.pairs)

    def judge_stages(self, rules: Rules) -> None:
        """Say what the stages saw, and let the trial know what of it holds a verdict."""
        self.seen = self.stages.seen(ordered=not rules.once)
        self.trial.broken_fields, self.of_stages = broken_fields(self.seen, rules), stage_notices(self.seen, rules)

    def failed(self, coverage: Coverage, rules: Rules) -> tuple[FailureCount, ...]:
        """How runs failed, and what never became a pair."""
        return self.runs.failures.counts(coverage, looks_of(rules), alpha=rules.alpha)

    def add(self, pairs: Iterable[Pair], *, keep: KeepScores, known: KnownScores | None = None) -> None:
        """Score and count pairs in query order.

        Args:
            pairs: Later than all before.
            keep: Is handed the new scores in portions.
            known: Looks up scores that were kept before; None: all are made.
        """
        scored = self._all_scored(iter(pairs), keep, Rescoring(self._experiment, known))
        with rarely_collecting():
            (self.growth or self.trial).add_pairs(scored)

    def _all_scored(self, pairs: Iterator[Pair], keep: KeepScores, rescoring: Rescoring) -> Iterator[ScoredPair]:
        while portion := list(_portion(pairs)):
            rescoring.look_up(portion)
            yield from self._scored(portion, keep, rescoring)
            portion.clear()  # before the next one is read

    def _scored(self, pairs: Sequence[Pair], keep: KeepScores, rescoring: Rescoring) -> Iterator[ScoredPair]:
        judges = self._experiment.sandbox.stubs.failed
        marked = self.conversations.marked([judged_pair(each, judges) for each in pairs])
        scored, made = rescoring.scores(marked)
        for pair, scores in zip(marked, scored, strict=True):
            writes = self._experiment.writes.compared(pair)
            around = circumstances(pair, floor=self._experiment.rules.min_fidelity)
            facts = facts_of(pair, circumstances=around, writes=writes)
            self.examples.see(pair, scores if writes.tools else [each for each in scores if each.metric != WRITES])
            self.runs.add(pair, writes)
            self.runs.divergences.add(first_divergence(pair), self.examples.difference(scores))
            self.probes.see(pair, scores, key=facts.key)
            self.judge_probes.see(pair, scores, key=facts.key)
            self.style.see(pair, key=facts.key)
            if self._experiment.rules.checks != "off":
                self.stages.see(pair, key=facts.key)
            yield facts, scores
        self.examples.settle()
        if made:
            keep(made)

    def to_state(self) -> tuple[bytes, Mapping[str, bytes]]:
        """All of it, and by name the segments that it rests on; `restored` of the same experiment takes it up."""
        parts = {part: getattr(self, part).to_state() for part in _PARTS}
        parts["conversations"] = self.conversations.threads.to_state()
        segments: dict[str, bytes] = {}
        for segment in _segments_of(parts):
            segments[segment[1]], segment[2] = segment[2], b""
        # What is numbers only, as texts of columns, becomes a quarter smaller; texts of users are left to the eye.
        trial = zlib.compress(msgspec.msgpack.encode(parts["trial"]), 1)
        return msgspec.msgpack.encode({**parts, "trial": trial}), segments

    @classmethod
    def restored(cls, experiment: Experiment, state: bytes, segments: Mapping[str, bytes]) -> Progress:
        """What `to_state` gave, taken up.

        Raises:
            CorruptFrameError: the bytes are damaged, or a segment is not there.
        """
        parts, progress = data(state), cls(experiment)
        try:
            parts["trial"] = data(zlib.decompress(parts["trial"]))
        except zlib.error as error:
            raise CorruptFrameError(f"the evidence can't be read: {error}", frame=state) from error
        for segment in _segments_of(parts):
            segment[2] = segments.get(segment[1], b"")
        try:
            progress.trial.restore(parts["trial"])
            progress.conversations.threads.restore(parts["conversations"])
        except StatsInputError as error:
            raise CorruptFrameError(str(error), frame=b"") from error
        progress.examples.restore(parts["examples"])
        progress.runs.restore(parts["runs"])
        progress.probes.restore(parts["probes"])
        progress.judge_probes.restore(parts["judge_probes"])
        progress.style.restore(parts["style"])
        progress.stages.restore(parts["stages"])
        return progress


def _segments_of(parts: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Day, name and content of each segment in a state."""
    trial = parts["trial"]
    for evidence in (trial["evidence"], *(side["evidence"] for side in trial["sides"].values())):
        yield from evidence["units"]["segments"]
    yield from parts["conversations"]


def _portion(pairs: Iterator[Pair]) -> Iterator[Pair]:
    size = 0
    for pair in islice(pairs, _AT_ONCE):
        yield pair
        size += sum(map(heft, pair.stored))
        if size >= _BYTES_AT_ONCE:
            return


def judged_pair(pair: Pair, judges: Mapping[str, Judge]) -> Pair:
    """The pair with each tool call judged: whether it failed although nothing was raised."""
    served = _judged_run(pair.served, judges)
    candidate = _judged_run(pair.candidate, judges)
    rerun = pair.rerun and _judged_run(pair.rerun, judges)
    if served is pair.served and candidate is pair.candidate and rerun is pair.rerun:
        return pair
    return msgspec.structs.replace(pair, served=served, candidate=candidate, rerun=rerun)


def _judged_run(run: Observation, judges: Mapping[str, Judge]) -> Observation:
    made = run.tool_calls
    calls = tuple([judged(call, judges) for call in made])
    if all(map(is_, calls, made)):  # as nearly always: nothing that has to be said anew
        return run
    if run.outcome is None:
        return msgspec.structs.replace(run, calls=calls)
    return msgspec.structs.replace(run, outcome=msgspec.structs.replace(run.outcome, tool_calls=calls))


def circumstances(pair: Pair, *, floor: float) -> dict[str, str]:
    """Attributes of a pair that slices tell apart: how faithful its world was, and whether its history still held."""
    attributes: dict[str, str] = {}
    calls = len(pair.candidate.tool_calls)
    if calls:
        made_up = sum(call.answered in UNFAITHFUL for call in pair.candidate.tool_calls)
        attributes["fidelity"] = "below the floor" if 1 - made_up / calls < floor else "above the floor"
    if pair.candidate.diverged_at is not None:
        attributes["history"] = "the candidate had answered otherwise before"
    return attributes
