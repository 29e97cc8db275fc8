"""A pull request against the recorded main branch: without key and network, by pytest as users start it."""

import json
import re

import pytest

from tests.apps.fake_openai import FakeOpenAI

APP = """
from openai import OpenAI
from shadoweval import retriever

client = OpenAI()
DOCUMENTS = [{"id": f"d{n}", "text": f"Item {n} costs {n} euro."} for n in range(20)]
PROMPT = "Answer from the context."

@retriever
def search(question):
    number = question.split()[-1].strip("?")
    return [document for document in DOCUMENTS if document["id"] == f"d{number}"]

def answer(question):
    context = " ".join(document["text"] for document in search(question))
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": context + question}]
    streamed = client.chat.completions.create(model="m", messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
"""
CHANGES = {
    "main": APP,
    "comment": APP + "# nothing that runs\n",
    "prompt": APP.replace("Answer from", "Be polite and answer from"),
    "retrieval": APP.replace('== f"d{number}"', '== f"d{number}x"'),
}
SUITE = """
import os
import pytest

from tests.apps.fake_openai import FakeOpenAI
from shadoweval import Experiment, Sandbox, at_most, no_worse
from shadoweval.scoring import errors, latency, recall

@pytest.mark.parametrize("change", os.environ["CHANGES"].split())
def test_shop(shadow, change):
    shop = Experiment(
        name="shop",
        candidates={"rerank": "app_rerank:answer"},
        incumbent=f"app_{change}:answer",
        labels="cases.jsonl",
        scorers=[recall(k=5), errors(), latency()],
        gates=[no_worse("recall@5", by=0.1), no_worse("errors", by=0.1), at_most("latency.p95", ratio=2.0)],
        sandbox=Sandbox(allow=[os.environ["MODEL"]]),
    )
    shadow(shop)
"""


@pytest.fixture(name="server")
def _server():
    server = FakeOpenAI()  # of its own: the test ends it
    yield server
    server.stop()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "workers", ["0", pytest.param("2", marks=pytest.mark.slow), pytest.param("4", marks=pytest.mark.slow)]
)
def test_a_comment_passes_a_prompt_is_held_and_broken_retrieval_fails(workers, server, project):
    """The main branch is recorded once, with a model; then there is neither a key nor anybody who would answer."""
    project.write("test_suite.py", SUITE)
    project.write("pytest.ini", "[pytest]\nshadow_baseline = main.jsonl\n")
    for change, code in CHANGES.items():
        project.write(f"app_{change}.py", code)
    cases = [{"id": f"c{n}", "query": f"What costs item {n}?", "relevant": {f"d{n}": 1}} for n in range(20)]
    project.write("cases.jsonl", "\n".join(map(json.dumps, cases)))
    where = {"OPENAI_BASE_URL": server.url, "MODEL": server.url.split("/")[2]}

    code, said = project.run("--shadow-bless", CHANGES="main", OPENAI_API_KEY="sk-secret", **where)
    assert code == 0, said
    assert len(server.seen) == 20
    recording = (project.folder / "main.jsonl").read_text(encoding="utf-8")
    assert "Answer from the context." in recording
    assert "sk-secret" not in recording

    server.stop()
    code, said = project.run("-n", workers, "-rA", CHANGES="comment prompt retrieval", **where)
    lines = re.findall(r"^([A-Z]+) test_suite\.py::test_shop\[(\w+)\]", said, re.MULTILINE)
    ends = {change: state for state, change in lines}
    assert ends == {"comment": "PASSED", "prompt": "FAILED", "retrieval": "FAILED"}, said
    assert "shop / working-tree: HOLD (error)" in said
    assert "because 20 of 20 requests (100%) are not in the recording" in said
    assert f"POST {server.url}/chat/completions m 'Item 0 costs 0 euro.What costs item 0?' (case c0)" in said
    assert "shop / working-tree: ROLLBACK (broken)" in said
    assert "because proven broken: recall@5 is no worse by 0.1" in said
    assert "not judged against a recording: 'latency.p95 is at most 2 x incumbent'" in said
    assert (project.folder / "main.jsonl").read_text(encoding="utf-8") == recording
