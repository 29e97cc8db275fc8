"""An environment made from a commit's lock file or requirements, by uv or pip.

It runs what the commit's build says, with the network and without the guard: therefore only where it is asked for, and
with no variable of the worker's but those that installing needs.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Final

from shadoweval.candidate.environment import Target
from shadoweval.candidate.forkserver.interpreter import MSGSPEC, examined
from shadoweval.candidate.subprocesses import run
from shadoweval.errors import TargetError

__all__ = ["install"]

_SECONDS: Final = 1800.0
_NEEDED: Final = frozenset(
    [
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "SSH_AUTH_SOCK"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CC", "CXX", "LD_LIBRARY_PATH"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    ]
)
_PREFIXES: Final = ("UV_", "PIP_", "XDG_", "NIX_")


def install(target: Target, tree: Path, environment: Path) -> None:
    """Make the environment.

    Raises:
        TargetError: the commit says nothing of what it needs, uv is missing, or it could not be installed.
    """
    python = str(environment / "bin/python")
    variables = {k: v for k, v in os.environ.items() if k in _NEEDED or k.startswith(_PREFIXES)}
    variables |= {"UV_PROJECT_ENVIRONMENT": str(environment), "UV_NO_PROGRESS": "1"}
    for command in _commands(target, tree, environment):
        run(target.address, command, seconds=_SECONDS, environment=variables, folder=tree)
    try:
        examined(target.address, python)
    except TargetError:  # of another minor version, and without msgspec
        run(target.address, [*_pip(target, python), MSGSPEC], seconds=_SECONDS, environment=variables, folder=tree)


def _commands(target: Target, tree: Path, environment: Path) -> list[list[str]]:
    base = target.interpreter() or sys.executable
    if target.install == "uv" and (tree / "uv.lock").exists():
        return [[*_uv(target), "sync", "--frozen", "--no-dev", "--python", base]]
    made = [*_uv(target), "venv", "--python", base] if target.install == "uv" else [base, "-m", "venv"]
    return [[*made, str(environment)], [*_pip(target, str(environment / "bin/python")), *_wanted(target, tree)]]


def _pip(target: Target, python: str) -> list[str]:
    if target.install == "uv":
        return [*_uv(target), "pip", "install", "--python", python]
    return [python, "-m", "pip", "install", "--disable-pip-version-check"]


def _uv(target: Target) -> list[str]:
    found = shutil.which("uv") or shutil.which("uv", path=sysconfig.get_path("scripts"))
    if found is None:
        raise TargetError(target.address, "there is no uv here", mend="Run: pip install uv; or write install='pip'.")
    return [found]


def _wanted(target: Target, tree: Path) -> list[str]:
    """What pip is told to install: the project, which stays where it is, else its requirements."""
    if (tree / "pyproject.toml").exists() or (tree / "setup.py").exists():
        return ["-e", str(tree)]
    if (tree / "requirements.txt").exists():
        return ["-r", str(tree / "requirements.txt")]
    why = f"its commit has no {'uv.lock, ' if target.install == 'uv' else ''}pyproject.toml or requirements.txt"
    raise TargetError(target.address, why, mend="Name an environment that is there: python='VENV/bin/python'.")
