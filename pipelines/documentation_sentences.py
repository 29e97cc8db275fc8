"""The documentation's sentences and their vectors, which the offline reader weighs for each question.

They are computed once, with the passages' vectors (`python -m pipelines.documentation_vectors`); what is not there is
embedded when it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.corpus import Passage, passages
from pipelines.documentation_vectors import cached_vectors, default_folder, stored_vectors
from pipelines.offline_model import sentences_of

__all__ = ["KnownSentences", "prepare", "sentences", "shown"]

Embed = Callable[[Sequence[str]], Any]


def shown(title: str, text: str) -> str:
    """Return a passage as the model reads it."""
    # Documentation is wrapped at 70 columns; a reader that works by line would take each line for a sentence.
    return f"{title}: " + "\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def sentences(corpus: Iterable[Passage]) -> tuple[Passage, ...]:
    """Return each different sentence of the passages, as a passage without a title."""
    found = dict.fromkeys(s for passage in corpus for s in sentences_of(shown(passage.title, passage.text)))
    return tuple(Passage(id=hashlib.sha256(s.encode()).hexdigest()[:16], title="", text=s) for s in found)


def prepare(embed: Embed, *, on_progress: Callable[[int, int], None] | None = None) -> None:
    """Compute the sentences' vectors where they are not cached."""
    cached_vectors(
        sentences(passages()),
        lambda texts: embed([text.strip() for text in texts]),
        folder=_folder(),
        on_progress=on_progress,
    )


class KnownSentences:
    """An embedding function that looks the documentation's sentences up, and leaves the rest to another."""

    def __init__(self, function: Embed) -> None:
        self._function = function
        self._rows: dict[str, int] | None = None
        self._vectors: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return one vector for each text, (n, width)."""
        rows = self._known()
        missing = [text for text in texts if text not in rows]
        computed = dict(zip(missing, self._function(missing), strict=True)) if missing else {}
        return np.stack([computed[text] if text in computed else self._vectors[rows[text]] for text in texts])

    def _known(self) -> dict[str, int]:
        if self._rows is None:
            known = sentences(passages())
            vectors = stored_vectors(known, folder=_folder())
            self._rows = {} if vectors is None else {sentence.text: row for row, sentence in enumerate(known)}
            self._vectors = self._vectors if vectors is None else vectors
        return self._rows


def _folder() -> Path:
    return default_folder() / "sentences"
