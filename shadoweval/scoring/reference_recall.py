"""How much of what a right answer says is said: words of the reference recalled, whatever else the answer says.

A longer answer that says the same scores the same. Where the reference has numbers, they have to be there.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from shadoweval.scoring.answer_tokens import Token, tokens_of

__all__ = ["Said", "reference_recall_of", "words_of"]

_APART: Final = 20
"""Tokens of other text between those of the reference, beside as many again as it has: it is said in one place."""
_WRONG_NUMBER: Final = 0.5
_STEM: Final = 4


def reference_recall_of(answer: str, reference: str) -> float:
    """Share of the reference's words in one passage of the answer, in [0, 1]; 1.0 where the answer contains it.

    Half of it where a number of the reference is not in the passage. English function words count only in a reference
    that has no others. A word of four letters or more may be one letter longer or shorter at its end.
    """
    words = words_of(reference)
    return Said(answer).recall(words) if words else 0.0


@lru_cache(maxsize=4096)
def words_of(reference: str) -> tuple[Token, ...]:
    """What the answer has to say; empty: nothing."""
    return tuple(tokens_of(reference, unsaying=False))


class Said:
    """Which token stands where in a text, against which any number of references can be held."""

    def __init__(self, text: str) -> None:
        self._by_key: defaultdict[str, list[int]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[int]] = defaultdict(list)
        for place, token in enumerate(tokens_of(text)):
            for key in token.keys:
                self._by_key[key].append(place)
            word = token.keys[0]
            if not token.number and len(word) > _STEM:
                self._by_stem[word[:-1]].append(place)

    def recall(self, words: Sequence[Token]) -> float:
        """As `reference_recall_of` the text, of the words of a reference; there is at least one."""
        wanted = Counter(words)
        kinds = list(wanted)
        return _best_passage(self._places(kinds), [wanted[kind] for kind in kinds], [kind.number for kind in kinds])

    def _places(self, kinds: Sequence[Token]) -> list[tuple[int, int]]:
        """Where in the text which kind of the reference's tokens stands, in order."""
        found: set[tuple[int, int]] = set()
        for index, kind in enumerate(kinds):
            matched: Iterable[int] = [place for key in kind.keys for place in self._by_key.get(key, ())]
            word = kind.keys[0]
            if not kind.number and len(word) >= _STEM:
                shorter = self._by_key.get(word[:-1], ()) if len(word) > _STEM else ()
                matched = [*matched, *self._by_stem.get(word, ()), *shorter]
            found.update((place, index) for place in matched)
        return sorted(found)


def _best_passage(places: Sequence[tuple[int, int]], needed: Sequence[int], numbers: Sequence[bool]) -> float:
    total = sum(needed)
    width = _APART + 2 * total
    inside: deque[tuple[int, int]] = deque()
    counts = [0] * len(needed)
    best = 0.0
    for place, index in places:
        inside.append((place, index))
        counts[index] += 1
        while place - inside[0][0] >= width:
            counts[inside.popleft()[1]] -= 1
        recalled = sum(map(min, counts, needed)) / total
        if recalled > best:
            wrong = any(number and not n for number, n in zip(numbers, counts, strict=True))
            best = max(best, recalled * (_WRONG_NUMBER if wrong else 1.0))
    return best
