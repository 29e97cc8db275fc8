"""Retrievers and what they return."""

from collections import namedtuple

from aa_rows import call, shape
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from shadoweval import record_hits, retriever

Row = namedtuple("Row", "id text distance")  # noqa: PYI024 - as psycopg makes it
CALLS = (call("u-1", question="How?"), call("u-2", question="Why?"))


def found(question):
    return [Document(question, metadata={"_id": f"{n:032x}", "doc_id": f"d-{n}"}) for n in range(3)]


@shape(*CALLS, options={"hit_id": "metadata.doc_id"})
def langchain_documents(user_id, question):
    class Search(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return found(query)

    return Search().invoke(question)[0].page_content


@shape(*CALLS)
def documents_with_scores(user_id, question):
    pairs = retriever(lambda text: [(each, 0.5) for each in found(text)])(question)
    return str(len(pairs))


@shape(*CALLS)
def database_rows(user_id, question):
    rows = [Row(f"d-{n}", question, 0.1 * n) for n in range(3)]
    record_hits(rows, hit_id=lambda row: row.get("id") if isinstance(row, dict) else row.id)
    return rows[0].text


@shape(*CALLS)
def columns(user_id, question):
    answer = {"ids": [["a", "b"]], "documents": [[question, "t"]], "distances": [[0.1, 0.2]]}
    record_hits(answer)
    return answer["documents"][0][0]


@shape(*CALLS)
def nothing_found(user_id, question):
    record_hits([])
    return f"nothing about {question}"
