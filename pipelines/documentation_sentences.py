"""The documentation's sentences and their vectors, which the offline reader weighs for each question.

A file keeps those of the passages that were read so far; `prepare` adds what it lacks. What is not there is embedded
when it is asked for, and forgotten with the process.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from pipelines.corpus import Passage
from pipelines.documentation_vectors import Embed, Progress, default_folder, embedded
from pipelines.offline_model import sentences_of

__all__ = ["KnownSentences", "prepare", "sentences", "shown"]

_LOG = logging.getLogger(__name__)
_Vectors = dict[bytes, NDArray[np.float32]]


def shown(title: str, text: str) -> str:
    """Return a passage as the model reads it."""
    # Documentation is wrapped at 70 columns; a reader that works by line would take each line for a sentence.
    return f"{title}: " + "\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def sentences(corpus: Iterable[Passage]) -> tuple[str, ...]:
    """Return each different sentence of the passages, as the model reads them."""
    return tuple(dict.fromkeys(s for passage in corpus for s in sentences_of(shown(passage.title, passage.text))))


def prepare(read: Iterable[Passage], embed: Embed, *, on_progress: Progress | None = None, at_once: int = 1) -> None:
    """Add the vectors of these passages' sentences to the file where it lacks them.

    Args:
        read: passages that readers will see.
        embed: texts to unit vectors.
        on_progress: called with the number of sentences done and of all.
        at_once: calls of `embed` that run beside each other, from threads.
    """
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        known = _read(path)
        missing = [sentence for sentence in sentences(read) if _key(sentence) not in known]
        if not missing:
            return
        vectors = embedded(missing, embed, on_progress=on_progress, at_once=at_once)
        known.update(zip(map(_key, missing), vectors, strict=True))
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, keys=np.frombuffer(b"".join(known), dtype="V16"), vectors=np.stack(list(known.values())))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


class KnownSentences:
    """An embedding function that looks the documentation's sentences up, and leaves the rest to another."""

    def __init__(self, function: Callable[[Sequence[str]], Any]) -> None:
        self._function = function
        self._vectors: _Vectors | None = None

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return one vector for each text, (n, width)."""
        if self._vectors is None:
            self._vectors = _read(_path())
        known, keys = self._vectors, [_key(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        computed = dict(zip(missing, self._function(list(missing.values())), strict=True)) if missing else {}
        return np.stack([computed[key] if key in computed else known[key] for key in keys])


def _path() -> Path:
    return default_folder() / "sentences.npz"


def _key(sentence: str) -> bytes:
    return hashlib.blake2b(sentence.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _read(path: Path) -> _Vectors:
    try:
        # Opened here: of a damaged archive numpy leaves its own file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            keys, vectors = archive["keys"], archive["vectors"]
        return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        _LOG.warning("Cached sentences are damaged and will be embedded again", extra={"path": str(path), "why": error})
        return {}
