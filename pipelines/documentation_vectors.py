"""Dense vectors of the documentation: a minute or more to compute, so they are computed once and kept in a file.

Build them ahead with `python -m pipelines.documentation_build`; a process that may not write (a candidate, say) then
only reads. The folder is `.cache/documentation` beside this package, or `DOCUMENTATION_CACHE`.
"""

from __future__ import annotations

import logging
import os
import random
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from pipelines.corpus import Passage, fingerprint

__all__ = [
    "WIDTH",
    "Embed",
    "Progress",
    "VectorsMissingError",
    "cached_vectors",
    "default_folder",
    "embedded",
    "read_text",
]

WIDTH = 384
_BATCH = 128  # Texts between two reports of progress.
_LOG = logging.getLogger(__name__)

Embed = Callable[[Sequence[str]], Any]
Progress = Callable[[int, int], None]


class VectorsMissingError(RuntimeError):
    """There are no cached vectors, and this process can't write any."""


def read_text(passage: Passage) -> str:
    """Return what both indexes read of a passage: its title names the function that the text only describes."""
    return f"{passage.title}\n{passage.text}"


def cached_vectors(
    corpus: Sequence[Passage],
    embed: Embed,
    *,
    folder: Path | None = None,
    on_progress: Progress | None = None,
    at_once: int = 1,
) -> NDArray[np.float32]:
    """Return one unit vector for each passage, (n, 384), from the cache or computed and then kept there.

    Any number of processes may ask at once: one computes, the others wait for its file. The file appears whole or not
    at all, and a damaged one (each array in it has a checksum) is logged and computed again.

    Args:
        corpus: the passages, in the order of the rows.
        embed: texts to unit vectors; another model needs another folder.
        folder: of the cache.
        on_progress: called with the number of passages done and of all.
        at_once: calls of `embed` that run beside each other, from threads.

    Raises:
        VectorsMissingError: there is no cached file, and this process can't write one.
    """
    path = _path(corpus, folder)
    vectors = _read(path, len(corpus))
    if vectors is not None:
        return vectors
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise VectorsMissingError(
            f"The documentation's vectors are not in {str(path)!r} and can't be written there: {error}. Build them "
            "once where writing is allowed: python -m pipelines.documentation_build"
        ) from error
    try:
        vectors = _read(path, len(corpus))  # Another process may have written it while this one waited.
        if vectors is None:
            if on_progress is None:
                _LOG.warning("The documentation's vectors are not cached yet; thousands take a minute or more")
            texts = [read_text(passage) for passage in corpus]
            vectors = embedded(texts, embed, on_progress=on_progress, at_once=at_once)
            _write(path, vectors)
    finally:
        lock.release()
    return vectors


def _path(corpus: Sequence[Passage], folder: Path | None) -> Path:
    embedded = (replace(passage, text=read_text(passage)) for passage in corpus)
    return (default_folder() if folder is None else folder) / fingerprint(embedded) / "minilm-128.npz"


def default_folder() -> Path:
    """Return the folder of the cache."""
    chosen = os.environ.get("DOCUMENTATION_CACHE")
    return Path(chosen) if chosen else Path(__file__).parents[1] / ".cache" / "documentation"


def _read(path: Path, rows: int) -> NDArray[np.float32] | None:
    try:
        # Opened here: of a damaged archive numpy leaves its own file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            vectors = archive["vectors"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        _LOG.warning("Cached vectors are damaged and will be computed again", extra={"path": str(path), "why": error})
        return None
    if vectors.shape != (rows, WIDTH) or vectors.dtype != np.float32:
        _LOG.warning(
            "Cached vectors have another shape and will be computed again",
            extra={"path": str(path), "why": f"{vectors.shape} {vectors.dtype}"},
        )
        return None
    return vectors


def embedded(
    texts: Sequence[str], embed: Embed, *, on_progress: Progress | None = None, at_once: int = 1
) -> NDArray[np.float32]:
    """Embed many texts in batches: (n, 384), in their order. The arguments are those of `cached_vectors`."""
    # Texts of like length together waste no padding; batches in random order make the rate so far a fair estimate.
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    random.Random(len(texts)).shuffle(batches)
    vectors, done = np.empty((len(texts), WIDTH), dtype=np.float32), 0
    with ThreadPoolExecutor(at_once) as threads:
        computed = threads.map(lambda rows: embed([texts[row] for row in rows]), batches)
        for rows, batch in zip(batches, computed, strict=True):
            vectors[rows] = batch
            done += len(rows)
            if on_progress is not None:
                on_progress(done, len(texts))
    return vectors


def _write(path: Path, vectors: NDArray[np.float32]) -> None:
    part = path.with_suffix(".part")  # Under the lock there is one writer; what a killed one left is overwritten.
    with part.open("wb") as file:
        np.savez(file, vectors=vectors)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
