"""What the runs of a pair retrieved, best first, by the names that its labels have for it.

A hit whose id no label names, but whose text (of 40 characters or more) is that of a labelled hit of another run of
the same pair, is that document. Several metrics ask for the same rankings: of the pair that was asked for last they
are remembered.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from shadoweval.records import Hit, Observation, Pair
from shadoweval.records.keys import TEXT_HASH, UNREADABLE
from shadoweval.records.labelled import has_parts, labelled_names
from shadoweval.scoring.rank_metrics import Judgements, Unjudged, read_judgements

__all__ = [
    "NO_RETRIEVAL",
    "ids_by_content",
    "labelled",
    "labels_of_hits",
    "ranked_hits",
    "texts_of",
    "unknown_hits",
]

_TELLING: Final = 40
"""Characters from which a text is taken to be of one document: a title or a stock phrase is that of many."""
NO_RETRIEVAL: Final = (
    "no retrieval was recorded; put @retriever above the function that searches, or call record_hits(documents)"
)
"""Why a run has no hits to score. A vector store that is called directly (`similarity_search`) tells nobody."""
_ONLY_TEXTS: Final = "the hits have no id, only texts; say what labels call them by hit_id='metadata.doc_id'"


class Ranking(NamedTuple):
    """What one run retrieved, best first."""

    names: tuple[str, ...]
    """By the labels; what they don't name keeps its id."""
    unknown: str | None
    """Why nothing is known of it; None: it is, or the run searched and found nothing."""


def ranked_hits(observation: Observation) -> Sequence[Hit]:
    """What a run retrieved, best first."""
    hits = observation.hits
    ranks = [hit.rank for hit in hits]
    return hits if ranks == sorted(ranks) else sorted(hits, key=lambda hit: hit.rank)


class LabelledPair:
    """The rankings of a pair's runs, and what its labels say of them. Make it with `labelled`."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._rankings = _rankings_of(pair, pair.runs)
        self._judgements: dict[float, Judgements | Unjudged] = {}

    def ranking(self, run: Observation) -> Ranking:
        """What a run of the pair retrieved, or one in the place of a run."""
        known = self._rankings.get(id(run))  # the pair holds its runs, so that nothing else has the id of one
        return known or _rankings_of(self.pair, (*self.pair.runs, run))[id(run)]

    def judgements(self, relevant_from: float = 1.0) -> Judgements | Unjudged:
        """The labels, as the metrics of rankings read them."""
        if relevant_from not in self._judgements:
            self._judgements[relevant_from] = read_judgements(self.pair.labels.relevant, relevant_from=relevant_from)
        return self._judgements[relevant_from]


class _Remembering:
    """Remembers the pair that was asked for last: one, whatever its size; within `several`, all of them."""

    def __init__(self) -> None:
        self._last: LabelledPair | None = None
        self._several: ContextVar[dict[int, LabelledPair] | None] = ContextVar("labelled pairs", default=None)

    def __call__(self, pair: Pair) -> LabelledPair:
        """What `LabelledPair` says of a pair; of those that are remembered without looking again."""
        several = self._several.get()
        if several is None:
            last = self._last  # once: another thread may ask for another pair
            if last is None or last.pair is not pair:
                self._last = last = LabelledPair(pair)
            return last
        known = several.get(id(pair))  # which holds the pair, so that nothing else has its id
        if known is None:
            known = several[id(pair)] = LabelledPair(pair)
        return known

    @contextmanager
    def several(self) -> Generator[None]:
        """Within, all pairs that are asked for are remembered: some hundred, which one metric after the other is of."""
        before = self._several.set({})
        try:
            yield
        finally:
            self._several.reset(before)


labelled: Final = _Remembering()


def _rankings_of(pair: Pair, runs: Sequence[Observation]) -> dict[int, Ranking]:
    """By the id of the object, the ranking of each run."""
    labels = pair.labels.relevant
    ranked = [(run, ranked_hits(run)) for run in runs]
    ids = [tuple([hit.id for hit in hits]) for _, hits in ranked]
    names_of = [labelled_names(each, labels) for each in ids] if has_parts(labels) else ids
    texts = [(run, _labelled_texts(hits, names, labels)) for (run, hits), names in zip(ranked, names_of, strict=True)]
    rankings: dict[int, Ranking] = {}
    for (run, hits), names in zip(ranked, names_of, strict=True):
        known: dict[str, str] = {}
        for other, of_other in texts:
            if of_other and other is not run:
                known = {**known, **of_other} if known else of_other
        ranking = _by_content(hits, names, known=known, keep=labels)
        rankings[id(run)] = Ranking(ranking, _unknown_to_labels(run, labels, ranking))
    return rankings


def _labelled_texts(hits: Sequence[Hit], names: tuple[str, ...], labels: Mapping[str, int]) -> dict[str, str]:
    """Texts that tell a document which the labels name."""
    if labels.keys().isdisjoint(names):
        return {}
    return {hit.text or "": name for hit, name in zip(hits, names, strict=True) if name in labels and _telling(hit)}


def _by_content(
    hits: Sequence[Hit], names: tuple[str, ...], *, known: Mapping[str, str], keep: Container[str]
) -> tuple[str, ...]:
    """The names, and for those that are not to be kept the name under which the same text is known."""
    if not known:
        return names
    named = zip(names, hits, strict=True)
    return tuple([name if name in keep else known.get(hit.text or "", name) for name, hit in named])


def _telling(hit: Hit) -> bool:
    """Whether a hit's text tells the document."""
    return hit.text is not None and len(hit.text.strip()) >= _TELLING


def texts_of(observation: Observation) -> dict[str, str]:
    """Texts of a run's hits that tell a document, with the hit's id."""
    return {hit.text or "": hit.id for hit in observation.hits if _telling(hit)}


def ids_by_content(observation: Observation, *, known: Mapping[str, str], keep: Container[str]) -> tuple[str, ...]:
    """Ids of what a run retrieved, best first; what is not to be kept has the id under which its text is known."""
    hits = ranked_hits(observation)
    return _by_content(hits, tuple(hit.id for hit in hits), known=known, keep=keep)


def unknown_hits(observation: Observation) -> str | None:
    """Why nothing is known of what a run retrieved; None: it is, or the run searched and found nothing."""
    hits = observation.hits
    if not hits and all(step.kind != "retrieval" for step in observation.steps):
        return NO_RETRIEVAL
    for hit in hits:
        if hit.id.startswith(UNREADABLE):
            kind = hit.id.removeprefix(UNREADABLE)
            return f"what a hit is known by can't be told from a {kind}; say it by hit_id='metadata.doc_id'"
    return None


def labels_of_hits(observation: Observation, pair: Pair) -> list[tuple[Hit, str]]:
    """What a run retrieved, best first, each with its name among the labels; what they don't name has its own id."""
    return list(zip(ranked_hits(observation), labelled(pair).ranking(observation).names, strict=True))


def _unknown_to_labels(observation: Observation, labels: Mapping[str, int], ranking: Sequence[str]) -> str | None:
    """As `unknown_hits`; hits known by their text alone are none that labels could name."""
    hits = observation.hits
    texts = bool(hits) and hits[0].id.startswith(TEXT_HASH) and all(hit.id.startswith(TEXT_HASH) for hit in hits)
    if texts and labels.keys().isdisjoint(ranking):
        return _ONLY_TEXTS
    return unknown_hits(observation)
