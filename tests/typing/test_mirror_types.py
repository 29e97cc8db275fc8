"""Decorated functions keep their types: pyright reads this file, and every `assert_type` must hold."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import assert_type

import pytest

from shadoweval.capture import retriever, step, tool
from shadoweval.mirror import Mirror
from shadoweval.transport import SpoolTransport

mirror = Mirror("typed", lambda: SpoolTransport(Path("nowhere")))


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
    answer(3)  # pyright: ignore[reportArgumentType] - a wrong argument is seen through the decorator
    answer("q", unknown=1)  # pyright: ignore[reportCallIssue] - so is an unknown one


@pytest.mark.timeout(120)
def test_pyright_agrees() -> None:
    """No error, and no `ignore` above that is not needed."""
    pyright = shutil.which("pyright") or str(Path(__file__).parents[2] / ".venv" / "bin" / "pyright")
    if not Path(pyright).exists():
        pytest.skip("pyright is not installed")
    told = subprocess.run(
        [pyright, __file__], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    if "Could not find" in told.stdout or "getaddrinfo" in told.stderr:
        pytest.skip("pyright's own program is not installed")
    assert told.returncode == 0, told.stdout
