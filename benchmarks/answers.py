"""Scorers of answers against people: which of two real systems is better, by each scorer and by the people who graded.

    python -m benchmarks.answers

Answers of five systems to questions from Natural Questions, graded by people (EVOUNA, Wang et al. 2023). Questions with
an even number were used to choose between forms of `answer_quality`, and of the rules of `refusal` and `language`; what
is printed is of the others, with 95 % intervals from drawing questions again. Without the answers (`../shared/data`)
it says so. What retrieval-based scorers say can't be compared there: no retrieved text was published with the answers.

Then what ROUGE-L costs beside the package rouge-score (where it is installed), and similarity beside the bare encoder.
"""

from __future__ import annotations

import importlib.util
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from shadoweval.protocols import BatchScorer
from shadoweval.records import Labels, Outcome, Pair, Scored
from shadoweval.scoring import (
    SentenceModel,
    exact_match,
    format,  # noqa: A004 - the metric's name
    language,
    length,
    refusal,
    repetition,
    rouge_l,
    semantic_similarity,
    token_f1,
)
from shadoweval.scoring.pair_scorer import PairScorer
from shadoweval.scoring.reference_recall import reference_recall_of
from shadoweval.scoring.text_metrics import rouge_l_of
from shadoweval.testing import make_observation, make_pair, make_query

__all__ = ["ANSWERS", "Answer", "PairOfSystems", "decided", "graded", "order_of", "read_answers"]

ANSWERS = Path(__file__).parents[2] / "shared/data/evouna_nq_first_800/answers_nq.jsonl"
DRAWS = 1_000
ROUNDS = 5
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Numbers = NDArray[np.float64]
CLEAR = 1.96
"""Standard errors from which on a difference decides."""


class Answer(NamedTuple):
    """One system's answer, and whether a person called it correct."""

    system: str
    query_id: str
    query: str
    answer: str
    references: tuple[str, ...]
    correct: bool


class PairOfSystems(NamedTuple):
    """Mean difference of two systems by people and by a scorer, and the scorer's in standard errors."""

    systems: tuple[str, str]
    people: float
    scorer: float
    clear: float

    @property
    def wrong(self) -> bool:
        """The scorer decides, and the other way round than people."""
        return abs(self.clear) > CLEAR and self.people * self.scorer < 0

    @property
    def as_people(self) -> bool:
        """The scorer decides as people do."""
        return abs(self.clear) > CLEAR and self.people * self.scorer > 0


def read_answers(*, half: int) -> list[Answer]:
    """Graded answers to the questions with an even (0) or odd (1) number; improper questions are left out."""
    rows = [json.loads(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()]
    return [
        Answer(row["system"], row["query_id"], row["query"], row["answer"], tuple(row["gold"]), row["correct"])
        for row in rows
        if not row["improper"] and int(row["query_id"].partition("-")[2]) % 2 == half
    ]


def graded(row: Answer, answer: str | None = None) -> float:
    """The row's answer, or another one in its place, as `answer_quality` scores it."""
    return max(reference_recall_of(row.answer if answer is None else answer, each) for each in row.references)


def decided(answers: Sequence[Answer], score: Callable[[Answer], float]) -> list[PairOfSystems]:
    """Each two systems on the same questions, by the mean paired difference."""
    by_system: dict[str, list[Answer]] = {}
    for row in answers:
        by_system.setdefault(row.system, []).append(row)
    scores = {system: [score(row) for row in rows] for system, rows in by_system.items()}
    pairs = []
    for one, other in combinations(sorted(by_system), 2):
        people = [b.correct - a.correct for a, b in zip(by_system[one], by_system[other], strict=True)]
        changes = [b - a for a, b in zip(scores[one], scores[other], strict=True)]
        error = statistics.stdev(changes) / math.sqrt(len(changes))
        mean = statistics.mean(changes)
        pairs.append(PairOfSystems((one, other), statistics.mean(people), mean, mean / error if error else 0.0))
    return pairs


def _by(scorer: PairScorer) -> Callable[[Answer], float]:
    """As the scorer has it, less is better turned round; what can't be scored counts as half."""
    (metric,) = scorer.metrics
    sign = 1 if metric.higher_is_better else -1

    def score(row: Answer) -> float:
        query = make_query(1, text=row.query)
        run = make_observation(query, outcome=Outcome(answer=row.answer))
        made = scorer.score_one(run, make_pair(labels=Labels(references=row.references), query={"text": row.query}))
        value = made[metric.name]
        return sign * value.value if isinstance(value, Scored) else sign * 0.5

    return score


class Figures(NamedTuple):
    """What is printed of a scorer, each with its interval."""

    as_people: float
    wrong: float
    order: float


def _figures(people: Matrix, scores: Matrix) -> Figures:
    """Of answers by question and system, whether people called them right, and a scorer's value."""
    as_people = wrong = 0
    for one, other in combinations(range(scores.shape[1]), 2):
        changes = scores[:, other] - scores[:, one]
        error = changes.std(ddof=1) / math.sqrt(len(changes))
        clear = bool(error) and abs(changes.mean() / error) > CLEAR
        same = changes.mean() * (people[:, other] - people[:, one]).mean()
        as_people += clear and same > 0
        wrong += clear and same < 0
    return Figures(as_people, wrong, order_of(scores[people > 0], scores[people == 0]))


def order_of(right: Numbers, wrong: Numbers) -> float:
    """The chance that one of `right` is higher than one of `wrong`; equal ones count half (area under the ROC)."""
    ascending = np.sort(wrong)
    below, upto = np.searchsorted(ascending, right, "left"), np.searchsorted(ascending, right, "right")
    return float((below + upto).mean() / 2 / len(ascending))


def _with_intervals(people: Matrix, scores: Matrix) -> list[str]:
    """Each figure as text, with its 95 % interval over questions drawn again."""
    chance = np.random.default_rng(13)
    drawn = [chance.integers(0, len(people), len(people)) for _ in range(DRAWS)]
    again = np.array([_figures(people[rows], scores[rows]) for rows in drawn])
    low, high = np.quantile(again, [0.025, 0.975], axis=0)
    said = _figures(people, scores)
    counts = [f"{said[at]:.0f} ({low[at]:.0f} to {high[at]:.0f})" for at in (0, 1)]
    return [*counts, f"{said.order:.3f} ({low[2]:.3f} to {high[2]:.3f})"]


def _scorers(answers: Sequence[Answer]) -> Mapping[str, Callable[[Answer], float]]:
    scorers: dict[str, Callable[[Answer], float]] = {
        "answer_quality": graded,
        "exact_match": _by(exact_match()),
        "token_f1": _by(token_f1()),
        'token_f1("words")': _by(token_f1("words")),
        'token_f1("characters")': _by(token_f1("characters")),
        "rouge_l": _by(rouge_l()),
        "refusal": _by(refusal()),
        "language": _by(language("en")),
        "length": _by(length()),
        "repetition": _by(repetition()),
        "format": _by(format()),
    }
    if importlib.util.find_spec("sentence_transformers") is not None:  # a minute
        scorer = semantic_similarity()
        list(cast("BatchScorer", scorer).score_many(_pairs(answers)))  # all texts at once; then each from memory
        scorers["semantic_similarity"] = _by(scorer)
    return scorers


def _pairs(answers: Sequence[Answer]) -> list[Pair]:
    """Each answer as both arms' answer."""
    return [
        make_pair(
            number,
            served={"answer": row.answer},
            shadow={"answer": row.answer},
            labels=Labels(references=row.references),
        )
        for number, row in enumerate(answers)
    ]


def _against_people() -> None:
    answers = read_answers(half=1)
    systems = sorted({row.system for row in answers})
    by_system = {system: [row for row in answers if row.system == system] for system in systems}
    people = np.array([[row.correct for row in by_system[system]] for system in systems], dtype=float).T
    print(f"{len(people)} questions, {len(systems)} systems")
    print("| scorer | decided as people do | decided the wrong way round | right before wrong answers |")
    print("|---|---|---|---|")
    for name, score in _scorers(answers).items():
        scores = np.array([[score(row) for row in by_system[system]] for system in systems]).T
        print(f"| `{name}` | {' | '.join(_with_intervals(people, scores))} |", flush=True)
    print()
    for pair in decided(answers, graded):
        print(f"{' / '.join(pair.systems)}: people {pair.people:+.3f}, answer_quality {pair.scorer:+.3f}")


def _seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _beside_rouge_score() -> None:
    """ROUGE-L of real answers beside the package."""
    if importlib.util.find_spec("rouge_score") is None:
        print("skipped: rouge-score is not installed")
        return
    from rouge_score.rouge_scorer import RougeScorer

    peer = RougeScorer(["rougeL"])
    by_query: dict[str, list[str]] = {}
    for row in read_answers(half=1):
        by_query.setdefault(row.query_id, []).append(row.answer)
    # One system's answer as the reference, and two others' as the arms': all of them sentences.
    texts = [(said, answers[-1]) for answers in by_query.values() if len(answers) > 2 for said in answers[-3:-1]]
    ours: list[float] = []
    theirs: list[float] = []
    ratio: list[float] = []
    for _ in range(ROUNDS):
        theirs_took = _seconds(lambda: theirs.extend(peer.score(b, a)["rougeL"].fmeasure for a, b in texts))
        ours_took = _seconds(lambda: ours.extend(rouge_l_of(a, b).f1 for a, b in texts))
        ratio.append(theirs_took / ours_took)
    apart = max(abs(one - other) for one, other in zip(ours, theirs, strict=True))
    quicker = statistics.median(ratio)
    print(f"ROUGE-L: {quicker:.1f} x as fast as rouge-score, {len(texts)} pairs, {apart:.1e} apart at most")


def _beside_the_encoder() -> None:
    """Pairs through `semantic_similarity` beside the distinct texts through the bare model, in turn."""
    if importlib.util.find_spec("sentence_transformers") is None:
        print("skipped: sentence-transformers is not installed")
        return
    rows = [row for row in read_answers(half=1) if row.answer][:400]
    texts = list(dict.fromkeys(text for row in rows for text in (row.answer, *row.references)))
    pairs = _pairs(rows)
    encoder = SentenceModel()
    encoder(texts[:32])
    asked: list[str] = []

    def counted(batch: Sequence[str]) -> object:
        asked.extend(batch)
        return encoder(batch)

    ratio: list[float] = []
    for _ in range(ROUNDS):
        asked.clear()
        bare = _seconds(lambda: encoder(texts))
        scorer = cast("BatchScorer", semantic_similarity(model=counted))
        ratio.append(bare / _seconds(lambda scorer=scorer: list(scorer.score_many(pairs))))
    once = len(asked) == len(set(asked)) == len(texts)
    print(
        f"similarity: {statistics.median(ratio):.2f} x the speed of the bare encoder, {len(pairs)} pairs, "
        f"{len(texts)} distinct texts, each encoded once: {once}"
    )


def main() -> None:
    """Print the table of docs/scorers.md, and two ratios."""
    if not ANSWERS.exists():
        print(f"skipped: {ANSWERS} is not there")
        return
    _against_people()
    _beside_rouge_score()
    _beside_the_encoder()


if __name__ == "__main__":
    main()
