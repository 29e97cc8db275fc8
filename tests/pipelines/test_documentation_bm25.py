import asyncio

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from pipelines import documentation_bm25
from pipelines.corpus import Passage, passages
from pipelines.documentation_chain import HITS, assistant

CORPUS = (
    Passage("str.split", "str.split", "Return a list of the substrings in the\nstring, using sep as the separator."),
    Passage("shutil.rmtree", "shutil.rmtree", "Recursively delete a directory tree."),
    Passage("os.listdir", "os.listdir", "Return a list containing the names of the files in the directory."),
)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


class Seen(BaseCallbackHandler):
    """What LangChain's callbacks tell about one run."""

    def __init__(self):
        self.hits, self.prompts = [], []

    def on_retriever_end(self, documents, **_):
        self.hits.append([document.id for document in documents])

    def on_chat_model_start(self, serialized, messages, **_):
        self.prompts.append(messages[0][-1].text)


def test_it_answers_from_the_whole_documentation():
    """The pipeline as it is served: every passage indexed, an answer of the right passage's words."""
    said = documentation_bm25.answer("how do I recursively delete an entire directory tree?")
    assert "directory tree" in said
    assert documentation_bm25.chain() is documentation_bm25.chain()


def test_callbacks_see_which_passages_were_retrieved():
    """Each hit has the passage's id and the first k are passed on, so that retrieval can be scored."""
    seen = Seen()
    documentation_bm25.chain().invoke("split a string into a list", config={"callbacks": [seen]})
    (hits,) = seen.hits
    assert len(hits) == len(set(hits)) == HITS
    assert set(hits) <= {passage.id for passage in passages()}
    assert "str.split" in hits


def test_the_model_reads_the_passages_unwrapped_and_the_question():
    """Title and text of each hit stand in the prompt, a hard-wrapped sentence in one line, the question last."""
    seen = Seen()
    chain = assistant(documentation_bm25.retriever(CORPUS))
    question = "how to split a string with a separator"
    said = chain.invoke(question, config={"callbacks": [seen]})
    (prompt,) = seen.prompts
    assert "str.split: Return a list of the substrings in the string, using sep as the separator." in prompt
    assert prompt.endswith(f"Question: {question}")
    assert said == "str.split: Return a list of the substrings in the string, using sep as the separator."


def test_a_question_without_a_passage_is_not_answered():
    """No hit, no invention."""
    seen = Seen()
    chain = assistant(documentation_bm25.retriever(CORPUS))
    assert chain.invoke("xylophone?", config={"callbacks": [seen]}) == "I do not know."
    assert seen.hits == [[]]


def test_it_answers_the_same_asynchronously():
    """`ainvoke` retrieves and answers what `invoke` does."""
    chain = assistant(documentation_bm25.retriever(CORPUS))
    question = "delete a directory tree"
    assert asyncio.run(chain.ainvoke(question)) == chain.invoke(question)
