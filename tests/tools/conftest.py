"""A small project's tests, run as `make test` runs ours."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHIN = 120  # seconds


def command_of_make_test():
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools/bootstrap.py")
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    (step,) = bootstrap.COMMANDS["test"]
    return [sys.executable, *step]


@pytest.fixture
def run(tmp_path):
    """Runs a small project's tests as `make test` runs ours."""

    def run(*options, **bodies):
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        for name, body in bodies.items():
            (tmp_path / f"test_{name}.py").write_text(f"import os, re, signal\n\ndef test_{name}():\n    {body}\n")
        project = ["-p", "xdist.plugin", "-c", tmp_path / "pytest.ini", "--rootdir", tmp_path]
        command = [*command_of_make_test(), *project, *options, tmp_path]
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environment = {**outside, "INNER_RUN": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # quick
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=WITHIN, check=False
        )

    return run
