"""Dense vectors of the documentation: minutes to compute, so they are computed once and kept in a file.

Build them ahead with `python -m pipelines.documentation_vectors`; a process that may not write (a candidate, say) then
only reads. The folder is `.cache/documentation` beside this package, or `DOCUMENTATION_CACHE`.
"""

from __future__ import annotations

import logging
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from pipelines.corpus import Passage, fingerprint, passages

__all__ = ["WIDTH", "VectorsMissingError", "cached_vectors", "main", "read_text"]

WIDTH = 384
_BATCH = 256  # Texts between two reports of progress.
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
) -> NDArray[np.float32]:
    """Return one unit vector for each passage, (n, 384), from the cache or computed and then kept there.

    Any number of processes may ask at once: one computes, the others wait for its file. The file appears whole or not
    at all, and a damaged one (each array in it has a checksum) is logged and computed again.

    Args:
        corpus: the passages, in the order of the rows.
        embed: texts to unit vectors; another model needs another folder.
        folder: of the cache.
        on_progress: called with the number of passages done and of all.

    Raises:
        VectorsMissingError: there is no cached file, and this process can't write one.
    """
    path = _path(corpus, folder)
    found = _read(path, len(corpus))
    if found is not None:
        return found
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise VectorsMissingError(
            f"The documentation's vectors are not in {str(path)!r} and can't be written there: {error}. Build them "
            "once where writing is allowed: python -m pipelines.documentation_vectors"
        ) from error
    try:
        found = _read(path, len(corpus))  # Another process may have written it while this one waited.
        if found is None:
            _LOG.warning("The documentation's vectors are not cached yet; thousands take minutes")
            found = _compute(corpus, embed, on_progress=on_progress or (lambda _done, _all: None))
            _write(path, found)
    finally:
        lock.release()
    return found


def stored_vectors(corpus: Sequence[Passage], *, folder: Path | None = None) -> NDArray[np.float32] | None:
    """Return the vectors that `cached_vectors` keeps, or None where it has kept none."""
    return _read(_path(corpus, folder), len(corpus))


def _path(corpus: Sequence[Passage], folder: Path | None) -> Path:
    embedded = (replace(passage, text=read_text(passage)) for passage in corpus)
    return (default_folder() if folder is None else folder) / fingerprint(embedded) / "minilm.npz"


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


def _compute(corpus: Sequence[Passage], embed: Embed, *, on_progress: Progress) -> NDArray[np.float32]:
    texts = [read_text(passage) for passage in corpus]
    # Texts of like length together waste no padding; the longest first tells at once whether memory is enough.
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    vectors = np.empty((len(texts), WIDTH), dtype=np.float32)
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        vectors[rows] = embed([texts[row] for row in rows])
        on_progress(start + len(rows), len(texts))
    return vectors


def _write(path: Path, vectors: NDArray[np.float32]) -> None:
    part = path.with_suffix(".part")  # Under the lock there is one writer; what a killed one left is overwritten.
    with part.open("wb") as file:
        np.savez(file, vectors=vectors)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def main() -> None:
    """Compute the vectors of passages and sentences if they are not cached, and say on stderr how far it is."""
    from pipelines.documentation_sentences import prepare  # noqa: PLC0415 - it imports this module
    from shadoweval.scoring.embedding import SentenceModel  # noqa: PLC0415 - costs seconds, and only the builder needs it

    def report(done: int, total: int) -> None:
        sys.stderr.write(f"\rembedding the documentation: {done} of {total} texts   ")
        sys.stderr.flush()

    model = SentenceModel(threads=os.cpu_count() or 1)
    cached_vectors(passages(), model, on_progress=report)
    prepare(model, on_progress=report)
    sys.stderr.write("\rthe documentation's vectors are ready" + " " * 30 + "\n")


if __name__ == "__main__":
    main()
