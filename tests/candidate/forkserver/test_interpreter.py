import json
import sys
import venv

import pytest

from shadoweval.candidate.forkserver.interpreter import examined
from shadoweval.errors import TargetError

FACTS = {"version": [3, 12, 1], "name": "cpython", "binary": "cpython-312-x", "msgspec": "", "release": ""}


@pytest.fixture
def saying(tmp_path):
    """An interpreter that says that of itself."""

    def make(text, status=0):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"version": [3, 10, 4]}, "cpython 3.10.4, and a candidate needs CPython 3.11"),
        ({"name": "pypy"}, "is pypy 3.12.1"),
        ({}, "is Python 3.12.1 and has no msgspec.*Run: .*python -m pip install 'msgspec>=0.19,<1'"),
        ({"msgspec": "/x/msgspec", "release": "0.18.6"}, "has msgspec 0.18.6.*Run: "),
        ({"msgspec": "/x/msgspec", "release": "1.0.0"}, "has msgspec 1.0.0.*Run: "),
    ],
)
def test_what_an_environment_lacks_is_said_with_the_line_that_brings_it(saying, facts, says):
    """Too old, another implementation, or without the one library that is needed."""
    with pytest.raises(TargetError, match=says):
        examined("a:b", saying(json.dumps(FACTS | facts)))


def test_another_minor_version_brings_its_own_library(saying):
    """What is binary is taken from the environment itself; the package of ours is Python alone."""
    found = examined("a:b", saying(json.dumps(FACTS | {"msgspec": "/x/msgspec", "release": "0.20.0"})))

    assert (found.version, found.library) == ("3.12.1", "/x/msgspec")
    assert found.command(7, 8)[:3] == [found.executable, "-S", "-c"]


@pytest.mark.parametrize(("text", "status", "says"), [("hello", 0, "something else"), ("", 3, "exit status 3")])
def test_a_program_that_is_no_interpreter(saying, text, status, says):
    """It is named, with what it did."""
    with pytest.raises(TargetError, match=rf"could not say what it is: .*{says}.*has to be a Python interpreter"):
        examined("a:b", saying(text, status))


def test_a_venv_is_asked_without_running_anything_of_it(tmp_path):
    """Its path files are read, their code is not run; without a msgspec of its own it gets the worker's."""
    venv.create(tmp_path / "bare", symlinks=True)
    (packages,) = (tmp_path / "bare/lib").glob("python*/site-packages")
    shared = tmp_path / "shared/msgspec"
    python = str(tmp_path / "bare/bin/python")
    (packages / "code.pth").write_text(f"import os; open({str(tmp_path / 'ran')!r}, 'w')\n")
    bare = examined("a:b", python)
    shared.mkdir(parents=True)
    (shared / "__init__.py").touch()
    (packages / "shared.pth").write_text(f"# a comment\n{tmp_path / 'shared'}\n")

    assert bare.library == examined("a:b", sys.executable).library
    assert examined("a:b", python).library == str(shared)
    assert not (tmp_path / "ran").exists()
