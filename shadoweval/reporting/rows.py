"""A query in one line: the beginnings of its texts, how each arm ended, and its scores."""

from __future__ import annotations

from shadoweval.records import Example, Observation, QueryRow
from shadoweval.reporting.calls import answer_text

__all__ = ["row_of"]

_BEGINNING, _ATTRIBUTE = 160, 60
"""Characters."""


def row_of(example: Example, *, parts: str = "", critical: bool = False) -> QueryRow:
    """The line of a query; `parts` and `critical` as `QueryRow` has them."""
    arms = example.incumbent, example.candidate
    return QueryRow(
        id=example.query_id,
        text=_beginning(example.text),
        answers=(_beginning(answer_text(arms[0])), _beginning(answer_text(arms[1]))),
        failures=(_failure(arms[0]), _failure(arms[1])),
        scores=example.scores,
        attributes={name: _beginning(str(value), limit=_ATTRIBUTE) for name, value in example.attributes.items()},
        parts=parts,
        critical=critical,
    )


def _failure(run: Observation) -> str:
    return f"{run.failure.kind} ({run.owner}'s)" if run.failure else ""


def _beginning(text: str, *, limit: int = _BEGINNING) -> str:
    """The first characters in one line; an ellipsis stands for the rest."""
    words = " ".join(text[: 2 * limit].split())
    return words if len(words) <= limit and len(text) <= 2 * limit else words[: limit - 1].rstrip() + "…"
