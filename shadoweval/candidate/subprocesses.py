"""A program that prepares a candidate's environment, run to its end; what it says where it fails."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from shadoweval.errors import TargetError

__all__ = ["run"]

_LINES: Final = 5
_SHOWN: Final = 1_000


def run(
    target: str, command: Sequence[str], *, seconds: float, environment: Mapping[str, str], folder: Path | None = None
) -> str:
    """What it prints, without the space at both ends.

    Raises:
        TargetError: it failed or took longer; with the last lines of what it said.
    """
    words = shlex.join(command)
    try:
        done = subprocess.run(  # noqa: S603 - git, uv, pip, as the user asked
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        why = f"{words} took longer than {seconds:g} s"
        raise TargetError(target, why, mend="Run it in a shell to see where it hangs.") from error
    except OSError as error:
        raise TargetError(target, f"{words}: {error.strerror}", mend="Install that program.") from error
    if done.returncode == 0:
        return done.stdout.strip()
    said = "; ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-_LINES:])[-_SHOWN:]
    raise TargetError(target, f"{words} failed: {said.rstrip('.')}", mend="Run it in a shell to see more.")
