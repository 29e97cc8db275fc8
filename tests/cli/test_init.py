"""`shadoweval init` in projects of other people: what it writes runs, with at most three lines edited."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shadoweval.cli.parser import main

API = {
    "app/main.py": """
from fastapi import FastAPI
from pydantic import BaseModel

from app.search import search

app = FastAPI()


class Ask(BaseModel):
    question: str
    top_k: int = 3


@app.post("/ask")
async def ask(body: Ask) -> dict:
    hits = search(body.question, body.top_k)
    return {"answer": f"See {hits[0]}." if hits else "I don't know.", "sources": hits}


@app.get("/health")
def health() -> dict:
    return {"ok": True}
""",
    "app/search.py": """
PAGES = {"install": "pip install it", "pay": "by card"}


def search(text: str, k: int) -> list[str]:
    return [page for page in PAGES if page in text.lower()][:k]
""",
}
AGENT = {
    "agent.py": """
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph


@tool
def look_up(order: str) -> str:
    \"\"\"Find an order.\"\"\"
    return f"order {order} is on its way"


def think(state):
    asked = state["messages"][-1].text
    return {"messages": [AIMessage(look_up.invoke({"order": asked.split()[-1]}))]}


builder = StateGraph(MessagesState)
builder.add_node("think", think)
builder.add_edge(START, "think")
builder.add_edge("think", END)
graph = builder.compile()
"""
}
SCRIPT = {
    "bot.py": """
from openai import OpenAI


def answer(question: str, customer: str = "") -> str:
    reply = OpenAI().chat.completions.create(model="m", messages=[{"role": "user", "content": question}])
    return reply.choices[0].message.content


if __name__ == "__main__":
    print(answer(input("? ")))
""",
    "golden.csv": "question,expected\nhow do I pay?,by card\nhow do I install it?,pip\nhow do I go?,press delete\n",
}


@pytest.fixture(name="project")
def _project(tmp_path, monkeypatch):
    folder = tmp_path / "shopbot"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("SHADOWEVAL_HOME", "SHADOWEVAL_STORE", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")


def against_itself(folder):
    command = ["evaluate", "evals.shopbot:shopbot", "--cases", "evals/shopbot.jsonl"]
    return subprocess.run(
        [sys.executable, "-m", "shadoweval", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "OPENAI_API_KEY": "none"},
    )


def undecided_without_errors(done):
    """Three cases of a pipeline against itself: nothing failed, nothing was refused, nothing is proven."""
    assert done.returncode == 3, done.stdout + done.stderr
    assert "shopbot / same: HOLD (inconclusive) after 3 pairs" in done.stdout
    assert "0 % in both" in done.stdout
    assert "refused" not in done.stdout + done.stderr
    return True


def test_a_fastapi_route_is_found_and_runs_unedited(project, capsys):
    """The route, not the search that it calls; its body is made of a case's question."""
    write(project, API)

    assert main(["init"]) == 0

    out = capsys.readouterr().out
    assert "app.main:ask" in out
    assert "@shopbot.mirror(sample=0.10, inputs=lambda body: body.model_dump(), text=lambda body: body.question)" in out
    assert undecided_without_errors(against_itself(project))


def test_a_body_may_be_called_as_a_question_is(project, capsys):
    """Its class tells a body from a text: the route is asked by the field that holds the question."""
    write(project, {name: text.replace("body", "question") for name, text in API.items()})

    assert main(["init"]) == 0

    assert "text=lambda question: question.question)" in capsys.readouterr().out
    assert "return await ask(Ask(question=question, **fields))" in Path("evals/shopbot.py").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_graph_runs_with_one_line_edited(project, capsys):
    """Its tool says no effect; that it only reads is said by taking the mark of a comment away."""
    write(project, AGENT)

    assert main(["init"]) == 0
    assert "agent:graph" in capsys.readouterr().out
    script = project / "evals" / "shopbot.py"
    lines = script.read_text(encoding="utf-8").splitlines()
    edited = [line.replace("# sandbox=", "sandbox=") for line in lines]
    assert sum(old != new for old, new in zip(lines, edited, strict=True)) == 1
    script.write_text("\n".join(edited), encoding="utf-8")

    assert undecided_without_errors(against_itself(project))


class _Model(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        message = {"role": "assistant", "content": "by card"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_a_script_with_openai_runs_unedited_by_its_own_questions(project, capsys, monkeypatch):
    """Questions and references come from a file of the project, and only the model's address may be reached."""
    write(project, SCRIPT)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")

        assert main(["init"]) == 0

        assert "3 questions from golden.csv" in capsys.readouterr().out
        assert f'allow=["127.0.0.1:{server.server_port}"]' in (project / "evals" / "shopbot.py").read_text("utf-8")
        done = against_itself(project)
        server.shutdown()
    assert undecided_without_errors(done)
    assert "token_f1 is no worse by 0.05" in done.stdout


def test_nothing_is_overwritten_and_nothing_is_guessed(project, capsys):
    """A second run, an empty folder, two functions that are as likely: each says what to write."""
    assert main(["init"]) == 4
    assert "No pipeline was found" in capsys.readouterr().err
    assert list(project.iterdir()) == []

    books = "".join(f'{{"query": "book {n}?"}}\n' for n in range(9))
    write(project, {"shadoweval-demo/library.py": SCRIPT["bot.py"], "shadoweval-demo/books.jsonl": books})
    assert main(["init"]) == 4  # what the demo has left here is none of the project
    assert "No pipeline was found" in capsys.readouterr().err

    write(project, SCRIPT)
    write(project, {"other.py": Path("bot.py").read_text(encoding="utf-8")})
    assert main(["init"]) == 4
    assert "shadoweval init --pipeline bot:answer\n  shadoweval init --pipeline other:answer" in capsys.readouterr().err

    assert main(["init", "--pipeline", "bot:answer"]) == 0
    assert "3 questions from golden.csv" in capsys.readouterr().out
    before = (project / "evals" / "shopbot.py").read_text(encoding="utf-8")
    assert main(["init", "--pipeline", "other:answer"]) == 4
    assert "is there already and stays as it is" in capsys.readouterr().err
    assert (project / "evals" / "shopbot.py").read_text(encoding="utf-8") == before
