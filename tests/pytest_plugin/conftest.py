"""A project of a user's: an app, a case file, a suite; and pytest over it in a process of its own, as they start it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = """
def serve(question):
    return question.upper()

def worse(question):
    return "nothing"

def flaky(question):
    return "nothing" if question.endswith("7") else question.upper()
"""
EXPERIMENT = """
from shadoweval import Experiment, no_worse
from shadoweval.scoring import errors, exact_match

def experiment(*candidates):
    return Experiment(
        name="shop",
        candidates={name: f"app:{name}" for name in candidates},
        incumbent="app:serve",
        labels="cases.jsonl",
        scorers=[exact_match(), errors()],
        gates=[no_worse("exact_match", by=0.1), no_worse("errors", by=0.1)],
    )
"""


class Project:
    """A folder with an app in it."""

    def __init__(self, folder):
        self.folder = folder
        self.write("app.py", APP)
        self.write("suites.py", EXPERIMENT)
        self.cases(40)

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def cases(self, count):
        """So many questions and their right answers, in two languages."""
        lines = [
            json.dumps(
                {
                    "id": f"case-{n}",
                    "query": f"question {n}",
                    "reference": f"QUESTION {n}",
                    "attributes": {"language": "de" if n % 4 == 0 else "en"},
                }
            )
            for n in range(count)
        ]
        self.write("cases.jsonl", "\n".join(lines))

    def run(self, *arguments, **environment):
        """Run pytest in this folder: exit code and all that it said."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PYTEST_"))}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments],
            cwd=self.folder,
            env={**environ, "PYTHONPATH": str(ROOT), "GITHUB_STEP_SUMMARY": "", **environment},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(name="project")
def _project(tmp_path):
    return Project(tmp_path)
