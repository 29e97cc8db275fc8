"""Question answering over a handful of release notes."""

from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI

NOTES = [
    "1.4 adds dark mode to the dashboard.",
    "1.5 moves exports to a background job.",
    "1.6 drops support for Python 3.9.",
]

store = InMemoryVectorStore.from_texts(NOTES, embedding=DeterministicFakeEmbedding(size=32))
retriever = store.as_retriever(search_kwargs={"k": 2})
prompt = ChatPromptTemplate.from_template("Use these notes:\n{context}\n\nQuestion: {question}")
model = ChatOpenAI(model="gpt-4o-mini", temperature=0)


def format_docs(docs):
    return "\n".join(doc.page_content for doc in docs)


chain = {"context": retriever | format_docs, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()


def ask(question):
    return chain.invoke(question)


def ask_streaming(question):
    return list(chain.stream(question))
