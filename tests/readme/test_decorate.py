"""docs/decorate.md: its files are written as they stand, imported, and called as their frameworks call them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.apps.fake_openai import FakeOpenAI

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "tests" / "readme" / "sources" / "decorated.py"
PAGE = (ROOT / "docs" / "decorate.md").read_text(encoding="utf-8")
FILES = {
    re.match(r"# (\S+\.py)\n", code)[1]: code
    for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
}
QUICK = ["a_function", "fastapi", "fastapi_service", "flask", "celery", "langchain", "langgraph", "openai", "mcp"]
LEFT_OUT = {"flask", "celery"}
"""Frameworks that are not in the lock: their blocks run where they are installed."""


def called(folder, *sections, **environment):
    """What `sources/decorated.py` says of these sections, in a process of its own."""
    for name, code in FILES.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(DRIVER), *sections],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "SHADOWEVAL_HOME": str(folder / "home"), **environment},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Section -> what was seen of it."""
    model = FakeOpenAI()
    try:
        yield called(tmp_path_factory.mktemp("page"), *QUICK, OPENAI_BASE_URL=model.url, OPENAI_API_KEY="k")
    finally:
        model.stop()


@pytest.mark.parametrize("section", QUICK)
def test_what_is_decorated_is_mirrored(section, seen):
    """The caller's answer, the question as people wrote it, and a candidate that can be called as the page says."""
    said = seen[section]
    if section in LEFT_OUT and "missing" in said:
        pytest.skip(f"{said['missing']} is not in the lock")

    assert set(said["answers"]) == {said["answer"]}
    assert said["mirrored"] >= 1
    assert said["text"] == "When do you open?"
    assert said["candidate"]


def test_what_an_adapter_sees_is_recorded(seen):
    """Model calls, tool calls with their effect, and attributes, as the page says."""
    assert seen["langchain"]["steps"] == ["model"]
    assert seen["openai"]["steps"] == ["model"]
    assert seen["mcp"]["calls"] == [["look_up", "read"]]
    assert seen["fastapi"]["attributes"] == {"long": False}


def test_every_file_of_the_page_is_used():
    """A block that nothing imports would be shown untested."""
    driver = DRIVER.read_text(encoding="utf-8") + PAGE
    modules = [name.removesuffix(".py").replace("/", ".") for name in FILES]

    assert [name for name in modules if name not in driver] == []
    assert len(FILES) == len(re.findall(r"^```python\n", PAGE, re.MULTILINE))


@pytest.mark.slow
def test_a_model_is_loaded_by_warm_and_answers(tmp_path):
    """With the packaged weights: `warm` loads the index, and the nearest text is the answer."""
    folder = pytest.importorskip("shadoweval.scoring.embedding").packaged_model()

    said = called(tmp_path, "vectors", EMBEDDING_MODEL=str(folder), HF_HUB_OFFLINE="1")

    assert said["vectors"]["answers"][0] == "We open at nine."
    assert said["vectors"]["candidate"] == "vectors"
