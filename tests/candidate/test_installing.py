import subprocess
import sys
from pathlib import Path

import pytest

from shadoweval import Target
from shadoweval.candidate.forkserver.interpreter import examined
from shadoweval.candidate.installing import install
from shadoweval.errors import TargetError

PROJECT = f'[project]\nname = "app"\nversion = "1"\nrequires-python = ">={sys.version_info[0]}.{sys.version_info[1]}"\n'


@pytest.fixture
def tree(tmp_path):
    """A commit's files, and beside them the place of an environment."""
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """A `uv` that notes its words and variables, and fails."""
    program = tmp_path / "bin/uv"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nenv > {tmp_path}/variables\necho $* > {tmp_path}/words\necho no route >&2\nexit 2\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path


def target(installer="uv"):
    return Target("app:answer", git="main", install=installer)


def test_a_lock_file_makes_an_environment(tree, monkeypatch, tmp_path):
    """By uv, without network where nothing is missing; a candidate can run in it."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    (tree / "pyproject.toml").write_text(PROJECT)
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "lock", "--quiet", "--python", sys.executable], cwd=tree, check=True, timeout=120)
    install(target(), tree, tmp_path / "environment")

    assert examined("app:answer", str(tmp_path / "environment/bin/python")).library
    assert not (tree / ".venv").exists()


def test_what_installs_sees_no_secret_of_the_worker(tree, uv, monkeypatch):
    """It runs the commit's code without a guard; of the variables it gets those that installing needs."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("UV_INDEX_URL", "https://index.example.org")
    (tree / "uv.lock").touch()

    with pytest.raises(TargetError, match=r"uv sync .* failed: no route. Run it in a shell"):
        install(target(), tree, uv / "environment")
    variables = (uv / "variables").read_text()
    assert "OPENAI_API_KEY" not in variables
    assert "UV_INDEX_URL=https://index.example.org" in variables
    assert f"UV_PROJECT_ENVIRONMENT={uv / 'environment'}" in variables
    assert f"--python {sys.executable}" in (uv / "words").read_text()


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_commit_that_says_nothing_of_what_it_needs(tree, uv, installer):
    """It is said before anything is made."""
    with pytest.raises(TargetError, match=r"no .*pyproject.toml or requirements.txt.*python='VENV/bin/python'"):
        install(target(installer), tree, uv / "environment")
    assert not (uv / "words").exists()
    assert not (uv / "environment").exists()
