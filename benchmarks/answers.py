"""Scorers of answers against people: which of two real systems is better, by each scorer and by the people who graded.

    python -m benchmarks.answers

Answers of five systems to questions from Natural Questions, graded by people (EVOUNA, Wang et al. 2023). Questions with
an even number were used to choose between forms of `answer_quality`; what is printed is of the others. Without the
answers (`../shared/data`) it says so and ends.
"""

from __future__ import annotations

import importlib.util
import json
import math
import statistics
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from shadoweval.scoring.embedding import Embedder
from shadoweval.scoring.reference_recall import reference_recall_of
from shadoweval.scoring.text_metrics import exact_match_of, rouge_l_of, token_f1_of

__all__ = ["ANSWERS", "Answer", "PairOfSystems", "decided", "graded", "read_answers"]

ANSWERS = Path(__file__).parents[2] / "shared/data/evouna_nq_first_800/answers_nq.jsonl"
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


def _best(similarity: Callable[[str, str], float]) -> Callable[[Answer], float]:
    return lambda row: max(similarity(row.answer, each) for each in row.references)


def _agreement(answers: Sequence[Answer], score: Callable[[Answer], float]) -> float:
    """Share of (correct, incorrect) answers that the scorer orders rightly, ties counted half (area under the ROC)."""
    right = [score(row) for row in answers if row.correct]
    wrong = [score(row) for row in answers if not row.correct]
    return statistics.mean((a > b) + 0.5 * (a == b) for a in right for b in wrong)


def main() -> None:
    """Print the table of docs/scorers.md."""
    if not ANSWERS.exists():
        print(f"skipped: {ANSWERS} is not there")
        return
    answers = read_answers(half=1)
    scorers = {
        "answer_quality": graded,
        "token_f1": _best(token_f1_of),
        "rouge_l": _best(lambda answer, reference: rouge_l_of(answer, reference).f1),
        "exact_match": _best(exact_match_of),
    }
    if importlib.util.find_spec("sentence_transformers") is not None:  # a minute
        scorers["semantic_similarity"] = _best(Embedder().similarity)
    print("| scorer | decided as people do | decided the wrong way round | undecided | right before wrong answers |")
    print("|---|---|---|---|---|")
    for name, score in scorers.items():
        pairs = decided(answers, score)
        right, wrong = sum(pair.as_people for pair in pairs), sum(pair.wrong for pair in pairs)
        print(f"| `{name}` | {right} | {wrong} | {len(pairs) - right - wrong} | {_agreement(answers, score):.3f} |")
    print()
    for pair in decided(answers, graded):
        print(f"{' / '.join(pair.systems)}: people {pair.people:+.3f}, answer_quality {pair.scorer:+.3f}")


if __name__ == "__main__":
    main()
