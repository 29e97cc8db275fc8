"""A pair is scored once: what a scorer has said about it is taken from the store as long as it rests on the same.

A look that begins anew, since a call came late, a label changed or a gate is another, reads its pairs again. What a
judge costs is not paid again, unless the scorer has another version, the pair has other labels, or the scorer failed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from shadoweval import __version__
from shadoweval.capture.failure_rules import named
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.protocols import BatchScorer, Scorer
from shadoweval.records import Pair, PairScore, Scored, Unscored
from shadoweval.scoring.batched import BatchedPairScorer
from shadoweval.scoring.pair_scorer import PairScorer, raised
from shadoweval.scoring.rankings import labelled

__all__ = ["KnownScores", "Rescoring", "said_of", "score", "went_wrong"]

log: Final = logger(__name__)

_encode: Final = msgspec.msgpack.Encoder().encode

_SIDES: Final[frozenset[type]] = frozenset({Scored, Unscored})

_WENT_WRONG: Final = ("Error", "Exception", "no judge endpoint")

KnownScores: TypeAlias = Callable[[Sequence[str]], Mapping[str, Sequence[PairScore]]]
"""From ids of queries to the scores that are stored for them, the newest of each metric."""


def score(experiment: Experiment, pair: Pair) -> list[PairScore]:
    """Every metric of one pair; a scorer that raises, against its promise, has no score and the error as reason."""
    return [each for scorer in experiment.scorers for each in _made(scorer, pair)]


def _made(scorer: Scorer, pair: Pair) -> list[PairScore]:
    """What a scorer says of a pair, as it is judged."""
    return _judged(said_of(scorer, pair), pair)


def _made_at_once(scorer: Scorer, pairs: Sequence[Pair]) -> list[list[PairScore]]:
    """What a scorer says of each pair, asked for all of them at once."""
    said = _said_at_once(scorer, pairs)
    if said is None:
        return [_made(scorer, pair) for pair in pairs]
    return [_judged(of, pair) for pair, of in zip(pairs, said, strict=True)]


def _said_at_once(scorer: Scorer, pairs: Sequence[Pair]) -> list[list[PairScore]] | None:
    if len(pairs) <= 1 or not isinstance(scorer, BatchScorer):
        return None
    by_id: dict[str, list[PairScore]] = {pair.id: [] for pair in pairs}
    if len(by_id) < len(pairs):
        return None
    try:
        for each in scorer.score_many(pairs):
            by_id[each.query_id].append(_checked(each))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whichever pair it was, the others shall have their scores
        log.warning("a scorer can't score many pairs at once", extra={"why": raised(error).reason})
        return None
    return list(by_id.values())


def said_of(scorer: Scorer, pair: Pair, *, basis: str = "") -> list[PairScore]:
    """What a scorer says of one pair; one that raises, or exits, says of each metric why there is no score.

    `basis`, as of `PairScore`, is for a scorer whose `score` takes it.
    """
    of_pair = {"basis": basis} if basis else {}
    try:
        return [_checked(each) for each in scorer.score(pair, **of_pair)]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - one pair that breaks a scorer must not end all looks
        why = raised(error)
        of: dict[str, Any] = {"query_id": pair.id, "scorer_version": scorer.version, **of_pair}
        return [PairScore(metric=metric.name, incumbent=why, candidate=why, **of) for metric in scorer.metrics]


def _checked(score: Any) -> PairScore:
    if isinstance(score, PairScore) and type(score.incumbent) in _SIDES and type(score.candidate) in _SIDES:
        return score
    raise TypeError(f"a scorer gives PairScore(...)s of Scored or Unscored, this one gave {score!r:.80}")


def _judged(scores: list[PairScore], pair: Pair) -> list[PairScore]:
    """The scores without the arms that say nothing about their pipeline, whatever a scorer makes of them."""
    if pair.served.failure is pair.candidate.failure is None and (pair.rerun is None or pair.rerun.failure is None):
        return scores
    return [_without_unscored(each, pair) for each in scores]


def _without_unscored(score: PairScore, pair: Pair) -> PairScore:
    runs = {"incumbent": pair.served, "candidate": pair.candidate, "noise": pair.rerun}
    reasons = {arm: run.unscored for arm, run in runs.items() if run is not None and run.failed and run.unscored}
    changes: dict[str, Any] = {
        arm: Unscored(reason, informative=False)
        for arm, reason in reasons.items()
        # Like with like, the incumbent's score is its re-run's, whatever became of what was served.
        if isinstance(getattr(score, arm), Scored) and not (arm == "incumbent" and score.incumbent == score.noise)
    }
    return msgspec.structs.replace(score, **changes) if changes else score


def _get_ready(scorer: Scorer, pairs: Sequence[Pair]) -> None:
    """Let a scorer that can do so make at once what it needs of all pairs, and forget what it needed of others.

    Where it fails, it makes it one by one.
    """
    if not isinstance(scorer, BatchedPairScorer) or len(pairs) == 1:
        return
    try:
        scorer.get_ready(pairs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whichever pair it was, the others shall have their scores
        log.warning("a scorer can't score many pairs at once", extra={"why": raised(error).reason})


class _Asked:
    """A scorer, and what its scores rest on: its version, what failures score and which run is compared."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer, self._at_once = scorer, isinstance(scorer, BatchScorer)
        metrics = [(metric.name, metric.failure_scores, metric.like_with_like) for metric in scorer.metrics]
        self.made_with = _hash(msgspec.msgpack.encode([scorer.version, *metrics]))
        self._takes_basis = getattr(type(scorer), "score", None) is PairScorer.score

    def made(self, pairs: Sequence[Pair], bases: Sequence[str]) -> list[list[PairScore]]:
        """What it says of each pair, as it is judged."""
        if self._takes_basis:
            _get_ready(self.scorer, pairs)
            each = zip(pairs, bases, strict=True)
            made = [_judged(said_of(self.scorer, pair, basis=basis), pair) for pair, basis in each]
            _get_ready(self.scorer, ())
            return made
        made = _made_at_once(self.scorer, pairs) if self._at_once else [_made(self.scorer, pair) for pair in pairs]
        return [_based(scores, basis) for scores, basis in zip(made, bases, strict=True)]


class Rescoring:
    """Scores pairs of an experiment by those scorers that have not said what still holds.

    Args:
        experiment: Whose scorers.
        known: Looks scores up; None: all are made.
    """

    def __init__(self, experiment: Experiment, known: KnownScores | None) -> None:
        self._known = known
        self._stored: Mapping[str, Sequence[PairScore]] = {}
        self._scorers = experiment.scorers
        stubs = experiment.sandbox.stubs
        judges = sorted((tool, named(judge)) for tool, judge in stubs.failed.items())
        self._common = msgspec.msgpack.encode([__version__, sorted(stubs.effects.items()), judges])

    def look_up(self, pairs: Iterable[Pair]) -> None:
        """Get ready for these pairs."""
        if self._known is not None:
            self._stored = self._known([pair.id for pair in pairs])

    def scores(self, pairs: Sequence[Pair]) -> tuple[list[list[PairScore]], list[PairScore]]:
        """All scores of each pair, as it is judged, in the order of their scorers, and those of them that are new.

        Each scorer goes over all pairs, which is quicker than all scorers going over each pair. What they find out
        about a pair they share.
        """
        new: list[PairScore] = []
        rows: list[list[PairScore]] = [[] for _ in pairs]
        rests_on = [self._rests_on(pair) for pair in pairs]
        stored = [{each.metric: each for each in self._stored.get(pair.id, ())} for pair in pairs]
        with labelled.several():
            for asked in map(_Asked, self._scorers):
                bases = [f"{each ^ asked.made_with:016x}" for each in rests_on]
                waiting = list(range(len(pairs)))
                if self._stored:
                    known = [_known(asked.scorer, *each) for each in zip(stored, bases, strict=True)]
                    waiting = [row for row in waiting if known[row] is None]
                    for row, own in enumerate(known):
                        rows[row] += own or ()
                made = asked.made([pairs[row] for row in waiting], [bases[row] for row in waiting])
                for row, own in zip(waiting, made, strict=True):
                    rows[row] += own
                    new += own
        return rows, new

    def _rests_on(self, pair: Pair) -> int:
        """A number for what its scores rest on beside both runs, which never change, and the scorers."""
        rests_on = [pair.labels, pair.rerun is not None, pair.candidate.diverged_at]
        return _hash(self._common + _encode(rests_on))


def _based(scores: Sequence[PairScore], basis: str) -> list[PairScore]:
    return [msgspec.structs.replace(each, basis=basis) for each in scores]


def _hash(content: bytes) -> int:
    """A number of 64 bits."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8])


def _known(scorer: Scorer, stored: Mapping[str, PairScore], basis: str) -> list[PairScore] | None:
    """What the scorer has said of a pair and still holds, all of it; None: it must be asked."""
    own = [stored[metric.name] for metric in scorer.metrics if metric.name in stored]
    sound = len(own) == len(scorer.metrics) and all(each.basis == basis and not went_wrong(each) for each in own)
    return own if sound else None


def went_wrong(score: PairScore) -> str:
    """What went wrong when it was made; empty: nothing."""
    reasons = (side.reason for side in (score.incumbent, score.candidate, score.noise) if isinstance(side, Unscored))
    return next((why for why in reasons if any(sign in why for sign in _WENT_WRONG)), "")
