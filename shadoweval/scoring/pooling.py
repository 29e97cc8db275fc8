"""Relevance of what either arm retrieved, judged once: recall and nDCG where nobody labelled beforehand.

The pool of a query is the union of the first k of all its runs (pooling: Spärck Jones and van Rijsbergen 1975, TREC).
Each (query, document) is judged once, by a person or by a function, and remembered by content: another index's id for
the same text, another experiment and another look ask nobody again. A person's word comes before a judge's.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from shadoweval.capture.interception import message_of
from shadoweval.checks import checked_choice, checked_function, checked_instance, checked_keywords, checked_number
from shadoweval.errors import ArgumentError
from shadoweval.private import open_private, private_folder
from shadoweval.protocols import Metric
from shadoweval.records import Hit, Observation, Pair, Score, Scored, Unscored, query_key
from shadoweval.scoring import rank_metrics
from shadoweval.scoring.function_names import name_of
from shadoweval.scoring.pair_scorer import PairScorer, raised
from shadoweval.scoring.rank_bounds import ndcg_bounds_of, recall_bounds_of
from shadoweval.scoring.rank_metrics import Unjudged
from shadoweval.scoring.rankings import labels_of_hits, ranked_hits, unknown_hits

__all__ = ["pool"]

RelevanceJudge = Callable[[str, str], Any]
"""From a query's text and a document's text to a grade: 0 is not relevant, True is 1."""
_PEOPLE: Final = "people"
_NOTHING: Final = Unscored("neither run retrieved anything", informative=False)


class _JudgedPairs:
    """Grades by content, in memory and in a file of JSON lines, which other processes add to as well."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._read = path, 0
        self._grades: dict[str, float] = {}
        self.lock = threading.RLock()

    def get(self, key: str) -> float | None:
        """The grade; None: nobody has judged it."""
        if key not in self._grades:
            self._catch_up()
        return self._grades.get(key)

    def add(self, key: str, grade: float) -> None:
        """Remember a grade for ever; a later one for the same takes its place."""
        self._grades[key] = grade
        if self._path is not None:
            private_folder(self._path.parent)
            line = json.dumps({"key": key, "grade": grade}).encode() + b"\n"
            with os.fdopen(open_private(self._path, os.O_WRONLY | os.O_APPEND), "ab") as file:
                file.write(line)

    def _catch_up(self) -> None:
        """Read the whole lines that are new; one that is torn is passed over."""
        if self._path is None or not self._path.exists() or self._path.stat().st_size <= self._read:
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                judged = json.loads(line)
                self._grades[judged["key"]] = float(judged["grade"])
            except (ValueError, KeyError, TypeError):
                continue


class _Judged(NamedTuple):
    """A pool as far as it is judged."""

    grades: dict[str, float]
    unjudged: dict[str, Unscored]
    """Document -> why nobody has judged it."""


def _content(hit: Hit) -> str:
    """What a document is known by in a pool: its text, else its id."""
    return hashlib.sha256((hit.text or f"\0{hit.id}").encode("utf-8", "replace")).hexdigest()


class _Pooling:
    """Scores one run of a pair over the pool of all its runs."""

    def __init__(self, judge: RelevanceJudge | None, judged: _JudgedPairs, *, judge_name: str, k: int) -> None:
        self.judge, self.judged, self.judge_name, self.k = judge, judged, judge_name, k
        self.highest, self.unjudged = 1, "unscored"

    def score_one(self, observation: Observation, pair: Pair) -> Mapping[str, Score]:
        """Every metric of the run."""
        names = [metric.name for metric in self.metrics()]
        unknown = unknown_hits(observation)
        if unknown is not None:
            return dict.fromkeys(names, Unscored(unknown))
        judged = self._judge_pool(pair)
        if not judged.grades and not judged.unjudged:
            return dict.fromkeys(names, _NOTHING)
        ranking = [_content(hit) for hit in ranked_hits(observation)[: self.k]]
        share = sum(document in judged.grades for document in set(ranking)) / len(set(ranking)) if ranking else 1.0
        return dict(zip(names, [*self._scores(ranking, judged), Scored(share)], strict=True))

    def metrics(self) -> tuple[Metric, ...]:
        """In the order of the scores."""
        k, costly = self.k, self.judge is not None
        valued = (f"pooled_recall@{k}", f"pooled_ndcg@{k}")
        bounds = (f"pooled_{name}_{bound}@{k}" for name in ("recall", "ndcg") for bound in ("low", "high"))
        return (
            *(Metric(name=name, costly=costly) for name in valued),
            *(Metric(name=name, descriptive=True, costly=costly) for name in (*bounds, f"pooled_judged@{k}")),
        )

    def _scores(self, ranking: list[str], judged: _Judged) -> list[Score]:
        grades, unjudged = judged
        judgements = rank_metrics.read_judgements(grades)
        if isinstance(judgements, Unjudged) and not unjudged:
            return [Unscored(judgements.value, informative=False)] * 6
        open_documents = list(unjudged)
        recall = recall_bounds_of(ranking, grades, unjudged=open_documents, k=self.k)
        ndcg = ndcg_bounds_of(ranking, grades, unjudged=open_documents, k=self.k, highest=self.highest)
        bounds = [Scored(bound) for bound in (*recall, *ndcg)]
        if isinstance(judgements, Unjudged) or (unjudged and self.unjudged == "unscored"):
            first = next((why for why in unjudged.values() if why.informative), next(iter(unjudged.values())))
            sentence = f"a document of the pool is not judged: {first.reason}"
            return [*[Unscored(sentence, informative=first.informative)] * 2, *bounds]
        values = (metric(ranking, judgements, k=self.k) for metric in (rank_metrics.recall_of, rank_metrics.ndcg_of))
        return [*map(Scored, values), *bounds]

    def _judge_pool(self, pair: Pair) -> _Judged:
        grades: dict[str, float] = {}
        unjudged: dict[str, Unscored] = {}
        labels = pair.labels.relevant
        runs = (pair.served, pair.candidate, pair.rerun)
        for run in filter(None, runs):
            for hit, name in labels_of_hits(run, pair)[: self.k]:
                document = _content(hit)
                if document in grades:
                    continue
                grade = self._grade(pair.query.text, hit, document=document, label=labels.get(name))
                if isinstance(grade, Unscored):
                    unjudged[document] = grade
                else:
                    grades[document] = grade
                    unjudged.pop(document, None)
        return _Judged(grades, unjudged)

    def _grade(self, query: str, hit: Hit, *, document: str, label: float | None) -> float | Unscored:
        asked = query_key(query)
        by_people, by_judge = f"{asked}:{document}:{_PEOPLE}", f"{asked}:{document}:{self.judge_name}"
        with self.judged.lock:
            if label is not None:
                if hit.text and self.judged.get(by_people) != label:
                    self.judged.add(by_people, float(label))
                return float(label)
            known = self.judged.get(by_people)
            known = self.judged.get(by_judge) if known is None else known
            if known is not None:
                return known
            if self.judge is None:
                return Unscored("no person has judged it", informative=False)
            if not hit.text:
                return Unscored("a hit has no text to judge; record it with the hits")
            grade = self._asked(query, hit.text)
            if not isinstance(grade, Unscored):
                self.judged.add(by_judge, grade)
            return grade

    def _asked(self, query: str, text: str) -> float | Unscored:
        try:
            said: Any = self.judge(query, text) if self.judge else None
            grade = float(said)
        except Exception as error:  # noqa: BLE001 - a user's judge may raise anything: the document is not judged
            return raised(error)
        if not 0 <= grade <= self.highest or math.isnan(grade):
            return Unscored(f"the judge said {message_of(said)!r}, which is no grade from 0 to {self.highest}")
        return grade


@checked_keywords()
def pool(
    judge: RelevanceJudge | None = None,
    *,
    k: int = 5,
    cache: str | Path | None = None,
    highest: int = 1,
    unjudged: Literal["unscored", "irrelevant"] = "unscored",
    version: str = "",
) -> PairScorer:
    """`pooled_recall@k`, `pooled_ndcg@k`, their bounds and `pooled_judged@k` over the union of both arms' first k.

    Args:
        judge: gives a grade for (query text, document text), once for each that no person has judged; None: people
            judge, by labels.
        k: depth of the pool.
        cache: file of JSON lines that keeps what was judged for ever, by content (hashes and grades, no text), and may
            be shared; None: as long as this scorer lives.
        highest: the best grade there is.
        unjudged: what a query is that has a document which nobody judged: `unscored`, with bounds, or scored as if the
            document were `irrelevant`, as trec_eval does, to the disadvantage of the arm that found it.
        version: of the judge; another one is asked anew. By default its name, and of a lambda, a function made in
            another one or a `partial` what it does.
    """
    checked_function("pool(judge)", judge)
    if judge is not None and isinstance(judge, type):
        raise ArgumentError("pool(judge)", judge, expected="a function of (query, document)")
    k = checked_number("pool(k)", k, low=1, whole=True)
    name = version or name_of(judge)
    path = None if cache is None else Path(checked_instance("pool(cache)", cache, (str, Path)))
    pooling = _Pooling(judge, _JudgedPairs(path), judge_name=name, k=k)
    pooling.highest = checked_number("pool(highest)", highest, low=1, whole=True)
    pooling.unjudged = checked_choice("pool(unjudged)", unjudged, Literal["unscored", "irrelevant"])
    said = f"pool@{k}/1:{name}:{highest}:{unjudged}"
    return PairScorer(metrics=pooling.metrics(), version=said, score_one=pooling.score_one)
