"""Embeds ahead what the documentation assistants read: `python -m pipelines.documentation_build [FILE of questions]`.

All passages, by which the candidate searches, and the sentences of those that a case file's questions bring up (by
default those of `evals/documentation.jsonl`), which the offline reader weighs: as a service would warm its cache with
yesterday's questions. No label is looked at. What is in the cache already is not computed again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pipelines.corpus import Passage, passages
from pipelines.documentation_chain import HITS, sentence_model, within_room
from pipelines.documentation_index import DocumentationIndex
from pipelines.documentation_sentences import prepare
from pipelines.documentation_vectors import Embed, cached_vectors, default_folder

__all__ = ["build", "main"]

_QUESTIONS = Path(__file__).parents[1] / "evals" / "documentation.jsonl"
_EVERY = 5.0
"""Seconds between two lines of progress where they can't be drawn over each other."""


def build(questions: Sequence[str], embed: Embed, *, at_once: int = 1) -> None:
    """Fill the cache for these questions; `embed` is called from `at_once` threads."""
    corpus = passages()
    vectors = cached_vectors(corpus, embed, on_progress=_Progress("passages"), at_once=at_once)
    index, by_id = DocumentationIndex(corpus, vectors=vectors), {passage.id: passage for passage in corpus}
    read: dict[str, Passage] = {}
    # Kept apart from the sentences: to the pipelines, which read those, each question is new.
    asked = [Passage(id=question, title="", text=question) for question in questions]
    meant = cached_vectors(
        asked,
        embed,
        folder=default_folder() / "questions",
        on_progress=_Progress("questions"),
        at_once=at_once,
    )
    for question, vector in zip(questions, meant, strict=True):
        for hits in (index.by_words(question, k=HITS), index.by_words_and_meaning(question, vector, k=HITS)):
            read.update((str(hit.id), by_id[str(hit.id)]) for hit in within_room(hits))
    index.close()
    prepare(read.values(), embed, on_progress=_Progress("sentences"), at_once=at_once)


class _Progress:
    """How far it is, at which rate, and how long it will take, on stderr."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._said = time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        now, drawn = time.monotonic(), sys.stderr.isatty()
        if done < of and now - self._said < (0.2 if drawn else _EVERY):
            return
        self._said = now
        rate = done / max(1e-3, now - self._began)
        line = f"embedding {self._what}: {done:,} of {of:,}, {rate:.0f}/s, {(of - done) / rate:.0f} s left"
        sys.stderr.write(f"\r{line:<70}{'' if drawn and done < of else chr(10)}")
        sys.stderr.flush()


_model = cache(sentence_model)


def _embed(texts: list[str]) -> Any:
    return _model()(texts)


def _give_way() -> None:
    if hasattr(os, "nice"):
        os.nice(10)  # Whoever serves on this machine goes first.


@contextmanager
def _processes(number: int) -> Iterator[Embed]:
    """An embedding function over processes of one thread each, started by the first text.

    Two of them embed these short texts twice as fast as one with two threads.
    """
    with ProcessPoolExecutor(number, mp_context=get_context("spawn"), initializer=_give_way) as pool:
        yield lambda texts: pool.submit(_embed, list(texts)).result()


def main(arguments: Sequence[str] = ()) -> None:
    """Build for the questions of a case file."""
    cases = Path(arguments[0] if arguments else _QUESTIONS).read_text(encoding="utf-8").splitlines()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with _processes(cores) as embed:
        build([json.loads(case)["query"] for case in cases], embed, at_once=cores)
    sys.stderr.write("the documentation's vectors are ready\n")


if __name__ == "__main__":
    main(sys.argv[1:])
