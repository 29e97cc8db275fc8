"""Which version of a pipeline this is, where nobody names it."""

import subprocess
import sys
import textwrap

import pytest
from candidate_rig import envelope, run_one

SCRIPT = """
import sys
from shadoweval.candidate.version import code_version, project_of, watch_reading

ended = watch_reading()
import app.serve
import elsewhere
print(code_version(project_of(app.serve), ended(), but={"elsewhere"}))
"""
FILES = {
    "app/__init__.py": "",
    "app/serve.py": """
        # answers
        from pathlib import Path
        from app import ranks
        HERE = Path(__file__).parent

        def answer(question):
            # by its prompt
            return PROMPT + question

        PROMPT = (HERE / "prompt.txt").read_text()
        CORPUS = (HERE / "index" / "meta.json").read_text()
        BIG = (HERE / "big.txt").read_text()
        RAW = (HERE / "raw.dat").read_bytes()
        with open(HERE / "written.txt", "a") as file:
            file.write("started ")
        """,
    "app/ranks.py": "def best(hits):\n    return hits[0]\n",
    "app/unused.py": "X = 1\n",
    "app/prompt.txt": "Answer: ",
    "app/index/meta.json": "{}",
    "app/index/store.sqlite": "",
    "app/raw.dat": "\0",
    "app/big.txt": "x" * (1 << 20) + "x",
    "elsewhere.py": "Y = 1\n",
}


@pytest.fixture(name="project")
def _project(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content), encoding="utf-8")
    return tmp_path


def version(project):
    environment = {"PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("app/serve.py", "# by its prompt", "# by its prompt, as ever"),
        ("app/serve.py", "# answers", '"""Answers."""'),
        ("app/serve.py", "def answer(question):", 'def answer(question):\n    """One answer."""\n'),
        ("app/serve.py", "PROMPT + question", "(\n        PROMPT\n        + question\n    )"),
        ("app/unused.py", "1", "2"),
        ("app/index/meta.json", "{}", "[]"),
        ("app/big.txt", "x", "y"),
        ("app/raw.dat", "\0", "\0\0"),
        ("elsewhere.py", "1", "2"),
    ],
)
def test_what_changes_no_answer_changes_no_version(project, file, old, new):
    """Comments, docstrings, lines, modules that nobody imports, data stores, large and binary files, what it writes."""
    before = version(project)
    path = project / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert version(project) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("app/serve.py", "PROMPT + question", "question + PROMPT"),
        ("app/ranks.py", "hits[0]", "hits[-1]"),
        ("app/prompt.txt", "Answer", "Reply"),
        ("app/__init__.py", "", "import app.unused\n"),
    ],
)
def test_what_may_change_an_answer_changes_the_version(project, file, old, new):
    """Code of any module that was imported, and texts that were read meanwhile."""
    before = version(project)
    path = project / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    assert version(project) != before


def test_the_same_project_elsewhere_is_the_same_version(project, tmp_path_factory):
    """Hosts that keep it under other folders agree."""
    other = tmp_path_factory.mktemp("other") / "place"
    project.rename(other)
    moved = version(other)
    other.rename(project)
    assert version(project) == moved


def test_a_run_says_which_system_prompts_its_models_were_given():
    """Whatever day they say it is; a run without any says nothing."""
    named = {
        target: run_one(target, envelope("hi"), module="prompted_candidates").versions.get("system prompts")
        for target in ("prompted", "otherwise", "unprompted")
    }
    longer = run_one("prompted", envelope("how are you"), module="prompted_candidates").versions["system prompts"]
    assert named["prompted"] == longer
    assert named["otherwise"] not in {None, longer}
    assert named["unprompted"] is None
