"""`support` and `citations` against people, who marked which paragraph answers a question, and with which words.

    python -m benchmarks.paragraphs

Questions about 48 articles of Wikipedia, five paragraphs of each, every question written to one paragraph and answered
in its words (XQuAD, Artetxe et al. 2020). What is right goes by these marks alone. Intervals are 95 %, from drawing
articles again, since questions of one article have paragraphs in common. Nothing was chosen on these questions. Without
them (`../shared/data`) it says so; where sentence-transformers is not installed, `support` by meaning is left out.

It shows how well a text that answers is told from one near it. These are people's answers: short, and taken from the
text. How far `support` agrees with people about what a model says at length is not shown.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import order_of
from shadoweval.protocols import BatchScorer
from shadoweval.records import Hit, Outcome, Pair, Scored, Step
from shadoweval.scoring import PairScorer, SentenceModel, citations, support
from shadoweval.testing import make_pair

__all__ = ["OF_CITATIONS", "OF_SUPPORT", "QUESTIONS", "interval", "read_questions"]

QUESTIONS: Final = Path(__file__).parents[2] / "shared/data/xquad"
DRAWS: Final = 1_000
Numbers = NDArray[np.float64]


class Question(NamedTuple):
    """What people asked and answered, the paragraph that they marked, and what else is about its article."""

    article: str
    text: str
    answer: str
    marked: Hit
    others: tuple[Hit, ...]
    """The article's other paragraphs."""
    near: str | None = None
    """What people answered to another question about the marked paragraph, where that says otherwise."""
    far: str | None = None
    """What people answered to a question about another paragraph, where the marked one doesn't say it."""

    def said(self, answer: str) -> str:
        """An answer as a whole sentence, in the question's words."""
        return f"{self.text.rstrip('? ')}: {answer}."


class Run(NamedTuple):
    """An answer, and what it is held against."""

    answer: str
    hits: tuple[Hit, ...]


Contrast = Callable[[Question], tuple[list[Run], list[Run]]]
"""Of a question, runs that are right by people's marks, and runs that are wrong."""


def read_questions() -> list[Question]:
    """All questions, in the order of their paragraphs."""
    texts = {row["doc_id"]: row["text"] for row in _rows("corpus")}
    asked = {row["query_id"]: row for row in _rows("queries")}
    articles: dict[str, list[str]] = {}
    for name in texts:
        articles.setdefault(name.partition("-")[0], []).append(name)
    questions: dict[str, list[Question]] = {}
    for row in _rows("qrels"):
        name, query = row["doc_id"], asked[row["query_id"]]
        article = name.partition("-")[0]
        others = tuple(_hit(other, texts[other]) for other in articles[article] if other != name)
        question = Question(article, query["text"], query["gold"][0], _hit(name, texts[name]), others)
        questions.setdefault(article, []).append(question)
    return [
        question._replace(near=_another(question, those, near=True), far=_another(question, those, near=False))
        for those in questions.values()
        for question in those
    ]


def _rows(name: str) -> Iterator[dict[str, Any]]:
    for line in (QUESTIONS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _hit(name: str, text: str) -> Hit:
    return Hit(id=name, rank=1, text=text)


def _another(question: Question, article: Sequence[Question], *, near: bool) -> str | None:
    """The answer to the article's next question of the same paragraph, or of another, that is wrong here."""
    own, paragraph = question.answer.casefold(), (question.marked.text or "").casefold()
    place = article.index(question)
    for other in (*article[place + 1 :], *article[:place]):
        answer = other.answer.casefold()
        foreign = near or answer not in paragraph
        if (other.marked == question.marked) is near and foreign and answer not in own and own not in answer:
            return other.answer
    return None


def answer_alone(question: Question) -> tuple[list[Run], list[Run]]:
    """A few words, on the paragraph from which people took them, and on each other one."""
    return [Run(question.answer, (question.marked,))], [Run(question.answer, (hit,)) for hit in question.others]


def whole_sentence(question: Question) -> tuple[list[Run], list[Run]]:
    """The same with the question's words."""
    said = question.said(question.answer)
    return [Run(said, (question.marked,))], [Run(said, (hit,)) for hit in question.others]


def foreign_answer(question: Question) -> tuple[list[Run], list[Run]]:
    """On one paragraph, a true sentence and one with an answer that stands elsewhere."""
    return _wrong_answer(question, question.far)


def mixed_up_answer(question: Question) -> tuple[list[Run], list[Run]]:
    """On one paragraph, a true sentence and one with an answer that stands there for another question."""
    return _wrong_answer(question, question.near)


def _wrong_answer(question: Question, answer: str | None) -> tuple[list[Run], list[Run]]:
    if answer is None:
        return [], []
    return [Run(question.said(question.answer), (question.marked,))], [Run(question.said(answer), (question.marked,))]


def cited_unseen(question: Question) -> tuple[list[Run], list[Run]]:
    """A citation of the marked paragraph, which was retrieved, and of another, which was not."""
    retrieved = (question.marked, *question.others[:-1])
    return [_cited(question, question.marked, retrieved)], [_cited(question, question.others[-1], retrieved)]


def cited_beside(question: Question) -> tuple[list[Run], list[Run]]:
    """A citation of the marked paragraph, and of others that were retrieved too."""
    retrieved = (question.marked, *question.others)
    return [_cited(question, question.marked, retrieved)], [_cited(question, hit, retrieved) for hit in question.others]


def _cited(question: Question, hit: Hit, retrieved: Sequence[Hit]) -> Run:
    return Run(f"{question.answer} [{hit.id}]", _ranked(retrieved))


OF_SUPPORT: Final[Mapping[str, Contrast]] = {
    "the answer alone: its paragraph, or another of the article": answer_alone,
    "question and answer: its paragraph, or another of the article": whole_sentence,
    "on its paragraph: the answer, or one that stands in another": foreign_answer,
    "on its paragraph: the answer, or one to another question about it": mixed_up_answer,
}
OF_CITATIONS: Final[Mapping[str, Contrast]] = {
    "its paragraph, retrieved, or another, not retrieved": cited_unseen,
    "its paragraph, or another of the article, both retrieved": cited_beside,
}


def _ranked(hits: Sequence[Hit]) -> tuple[Hit, ...]:
    return tuple(Hit(id=hit.id, rank=rank, text=hit.text) for rank, hit in enumerate(hits, start=1))


def values_of(scorer: PairScorer, runs: Sequence[Run]) -> Numbers:
    """What the scorer says of each run, as an evaluation asks it."""
    search = (Step(kind="retrieval", name="search"),)
    pairs = [
        make_pair(number, shadow={"outcome": Outcome(answer=run.answer, hits=run.hits), "steps": search})
        for number, run in enumerate(runs)
    ]
    if isinstance(scorer, BatchScorer):
        by_query = {score.query_id: score.candidate for score in cast("BatchScorer", scorer).score_many(pairs)}
        return np.array([_value(by_query[pair.id]) for pair in pairs])
    return np.array([_value(_only(scorer, pair)) for pair in pairs])


def _only(scorer: PairScorer, pair: Pair) -> object:
    (score,) = scorer.score(pair)
    return score.candidate


def _value(score: object) -> float:
    assert isinstance(score, Scored), score
    return score.value


def interval(scorer: PairScorer, contrast: Contrast, questions: Sequence[Question]) -> tuple[float, float, float]:
    """The chance that what is right scores higher than what is wrong (ties: half), and its 95 % interval."""
    articles = {name: place for place, name in enumerate(dict.fromkeys(question.article for question in questions))}
    runs = [(articles[question.article], contrast(question)) for question in questions]
    right, of_right = _scored(scorer, [(article, run) for article, (good, _) in runs for run in good])
    wrong, of_wrong = _scored(scorer, [(article, run) for article, (_, bad) in runs for run in bad])
    chance = np.random.default_rng(17)
    drawn: list[float] = []
    for _ in range(DRAWS):
        times = np.bincount(chance.integers(0, len(articles), len(articles)), minlength=len(articles))
        drawn.append(order_of(np.repeat(right, times[of_right]), np.repeat(wrong, times[of_wrong])))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return order_of(right, wrong), float(low), float(high)


def _scored(scorer: PairScorer, runs: Sequence[tuple[int, Run]]) -> tuple[Numbers, NDArray[np.intp]]:
    """The runs' values, and their articles."""
    return values_of(scorer, [run for _, run in runs]), np.array([article for article, _ in runs], np.intp)


def main() -> int:
    """Print the table of docs/scorers.md."""
    if not QUESTIONS.exists():
        print(f"skipped: {QUESTIONS} is not there")
        return 0
    questions = read_questions()
    scorers = [("support()", support(), OF_SUPPORT), ("citations()", citations(), OF_CITATIONS)]
    if importlib.util.find_spec("sentence_transformers") is not None:  # some minutes
        scorers.insert(1, ("support(SentenceModel())", support(SentenceModel()), OF_SUPPORT))
    print(f"{len(questions)} questions, {len({question.article for question in questions})} articles")
    print("| scorer | told apart | right before wrong |\n|---|---|---|")
    for called, scorer, contrasts in scorers:
        for name, contrast in contrasts.items():
            order, low, high = interval(scorer, contrast, questions)
            print(f"| `{called}` | {name} | {order:.3f} ({low:.3f} to {high:.3f}) |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
