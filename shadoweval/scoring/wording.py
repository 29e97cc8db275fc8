"""How long an answer is, and how much of it it says again: of the words alone, whatever they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from shadoweval.checks import checked_choice, checked_keywords, checked_number
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored
from shadoweval.scoring.pair_scorer import NO_TEXT, PairScorer
from shadoweval.scoring.text_metrics import Tokens, character_tokens, unicode_tokens

__all__ = ["length", "repetition"]

_Unit = Literal["words", "characters"]
_TOKENS: Final[dict[str, Tokens]] = {"words": unicode_tokens, "characters": character_tokens}


def repetition_of(words: Sequence[str], *, n: int) -> float:
    """Share of the runs of n words that stood there before: `seq-rep-n` of Welleck et al. 2020, section 6.

    0.0 where there are fewer than n words.
    """
    runs = [tuple(words[place : place + n]) for place in range(len(words) - n + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


@checked_keywords()
def length(unit: _Unit = "words") -> PairScorer:
    """`length`: how many words the answer has; what is right is for a gate to say.

    Without a gate it is no harm that it differs: `at_most("length", ratio=1.2)` and `at_least("length", 5)` are gates.

    Args:
        unit: `"words"` of any script (single characters where a script has no spaces), or `"characters"`, which are
            letters and digits alone.
    """
    tokens = _TOKENS[checked_choice("length(unit)", unit, _Unit)]

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        del pair
        answer = observation.outcome.answer if observation.outcome else None
        return {"length": NO_TEXT if answer is None else Scored(float(len(tokens(answer))))}

    metric = Metric(name="length", higher_is_better=False, high=None, failure_scores=None, descriptive=True)
    return PairScorer(metrics=(metric,), version=f"length/{unit}/1", score_one=score_one)


@checked_keywords()
def repetition(n: int = 4) -> PairScorer:
    """`repetition`: share of the answer's runs of n words that it said before; less is better.

    An answer without any word scores 1, as a failed run does: saying nothing is no way to score well.

    Args:
        n: Words in a run (single characters in scripts without spaces).
    """
    n = checked_number("repetition(n)", n, low=1, whole=True)

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        del pair
        answer = observation.outcome.answer if observation.outcome else None
        if answer is None:
            return {"repetition": NO_TEXT}
        words = unicode_tokens(answer)
        return {"repetition": Scored(repetition_of(words, n=n) if words else 1.0)}

    metric = Metric(name="repetition", higher_is_better=False, length_sensitive=True)
    return PairScorer(metrics=(metric,), version=f"repetition/{n}/1", score_one=score_one)
