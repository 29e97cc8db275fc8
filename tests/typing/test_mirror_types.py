"""Functions keep their types, options have some: pyright and mypy read this file, and every `assert_type` holds."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import assert_type

import pytest

from shadoweval import (
    Experiment,
    Limits,
    Sandbox,
    Stubs,
    Traffic,
    Verdict,
    better,
    evaluate,
    redact_secrets,
    retriever,
    step,
    tool,
)
from shadoweval.protocols import FlagProvider, Scorer, Transport
from shadoweval.scoring import latency, overlap, recall
from shadoweval.testing import FixedFlags, MemoryTransport

typed = Experiment(
    name="typed",
    candidates={"new": "app.rag:answer"},
    scorers=[recall(k=5), latency(), overlap()],
    gates=[better("recall@5", by=0.02, critical=True)],
    rule="kayenta",
    sandbox=Sandbox(stubs=Stubs(live=["search"]), limits=Limits(seconds=20), allow=["localhost:8000"]),
    traffic=Traffic(budget={"usd": 20}, flags=FixedFlags(True), transport=MemoryTransport()),
)


def by_length(question: str, **_: object) -> dict[str, int]:
    return {"words": len(question.split())}


mirror = typed.mirror(
    sample=0.1,
    attributes=by_length,
    text=str,
    versions={"prompt": "7"},
    redact=redact_secrets,
    control=0.0,
)


@mirror
def answer(question: str, *, k: int = 3) -> list[str]:
    return [question] * k


@mirror
async def aanswer(question: str) -> int:
    return len(question)


@mirror
def stream(question: str) -> Iterator[bytes]:
    yield question.encode()


@mirror
async def astream(question: str) -> AsyncIterator[float]:
    yield float(len(question))


class Support:
    @mirror
    def answer(self, question: str) -> str:
        return question

    @staticmethod
    @mirror
    def static(question: str) -> str:
        return question


@tool(effect="read")
def search(query: str) -> list[str]:
    return [query]


@tool
async def pay(amount: float) -> bool:
    return amount > 0


@retriever
def find(query: str) -> list[dict[str, str]]:
    return [{"id": query}]


@step("model")
def generate(prompt: str) -> str:
    return prompt


async def types() -> None:
    """Never called: read by pyright."""
    assert_type(answer("q", k=1), list[str])
    assert_type(await aanswer("q"), int)
    assert_type(stream("q"), Iterator[bytes])
    assert_type(astream("q"), AsyncIterator[float])
    assert_type(Support().answer("q"), str)
    assert_type(Support.static("q"), str)
    assert_type(search("q"), list[str])
    assert_type(await pay(1.0), bool)
    assert_type(find("q"), list[dict[str, str]])
    assert_type(generate("p"), str)
    plain: Callable[[str], list[str]] = answer
    assert_type(plain("q"), list[str])
    assert_type(evaluate(typed).verdicts, tuple[Verdict, ...])
    scorer: Scorer = recall()
    flags: FlagProvider = FixedFlags(True)
    transport: Transport = MemoryTransport()
    del scorer, flags, transport
    # What is wrong is seen: through the decorator, and in what it and the experiment are made with.
    answer(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    answer("q", unknown=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    typed.mirror(sampel=0.1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    typed.mirror(sample="0.1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    typed.mirror(unit="user")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Experiment(name="x", candidates={}, rule="pairde")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Experiment(name="x", candidates={}, limits=Limits())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Sandbox(alow=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Limits(seconds="20")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tool(effect="reed")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


@pytest.mark.timeout(900)
def test_pyright_agrees() -> None:
    """No error, and no `ignore` above that is not needed."""
    pyright = shutil.which("pyright") or str(Path(__file__).parents[2] / ".venv" / "bin" / "pyright")
    if not Path(pyright).exists():
        pytest.skip("pyright is not installed")
    done = subprocess.run(
        [pyright, __file__], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    if "Could not find" in done.stdout or "getaddrinfo" in done.stderr:
        pytest.skip("pyright's own program is not installed")
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(900)
def test_mypy_agrees(tmp_path: Path) -> None:
    """The same of mypy in its strict mode, as users run it over their code, not over ours."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}", __file__]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])

    assert done.returncode == 0, done.stdout + done.stderr
