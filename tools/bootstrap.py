#!/usr/bin/env python3
"""Make `.venv` from the lock, then run a command in it. Standard library only; Python 3.11 or later.

    python3 tools/bootstrap.py demo | test | slow | lint | bench | setup | lock | clean | run COMMAND ...

The environment is made once, again whenever pyproject.toml, constraints.txt or this file changes, and grows when a
command needs more: `demo` needs the least, `bench` (and CI, where the variable CI is set) the most. uv installs (from
the registry); where uv can't be had, pip does. Folders of pip's own `find-links` setting are passed on to uv, which
does not read pip's configuration. On Linux torch's CPU build is used: from such a folder if one holds it, else from
PyTorch's own index; the default index would bring gigabytes of CUDA.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENV = ROOT / ".venv"
BIN = ENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = ENV / ".stamp"
LOCK = ROOT / "constraints.txt"
TORCH = "torch==2.13.0"

# A worker that is gone fails the run at once (xdist's scheduler can wait for ever for its replacement).
TESTS = ["-m", "pytest", "-n", "2", "--dist", "loadfile", "--max-worker-restart", "0"]
COLOR = ["--color", "yes"] if sys.stdout.isatty() else []

EXTRAS = ("demo", "dev", "dev,bench")
"""What is installed, each including the one before it."""

COMMANDS: dict[str, list[list[str]]] = {
    "setup": [],
    "demo": [["-m", "pipelines.demo"]],
    "test": [["tools/watchdog.py", *TESTS, *COLOR]],
    "slow": [["tools/watchdog.py", "--silence", "3660", *TESTS, *COLOR, "-m", "slow or marathon", "--timeout", "3600"]],
    "lint": [
        ["-m", "ruff", "check", "."],
        ["-m", "ruff", "format", "--check", "."],
        ["-m", "pyright"],
        ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
    ],
    "bench": [["-m", "benchmarks"]],
}


def quiet_environment() -> dict[str, str]:
    """This process's environment with one BLAS thread a process: more fight over few cores."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "LANGSMITH_TRACING": "false"}
    return {**os.environ, **threads, **offline, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}


def call(*arguments: str | Path) -> int:
    """Run a command in the project's folder and return its exit code."""
    return subprocess.run([str(a) for a in arguments], cwd=ROOT, env=quiet_environment(), check=False).returncode


def needed(command: str) -> int:
    """Which of `EXTRAS` a command needs."""
    if command == "bench" or os.environ.get("CI"):
        return 2
    return 0 if command == "demo" else 1


def fingerprint() -> str:
    """Changes whenever the environment must be made again."""
    inputs = [ROOT / "pyproject.toml", LOCK, Path(__file__)]
    content = b"".join(path.read_bytes() for path in inputs) + sys.version.encode() + str(ROOT).encode()
    return hashlib.sha256(content).hexdigest()


def wheel_folders() -> list[str]:
    """Existing folders of pip's `find-links` setting."""
    asked = subprocess.run(
        [str(PYTHON), "-m", "pip", "config", "get", "global.find-links"],
        capture_output=True,
        text=True,
        check=False,
    )
    named = f"{os.environ.get('PIP_FIND_LINKS', '')} {asked.stdout}".split()
    return [folder for folder in dict.fromkeys(named) if Path(folder).is_dir()]


def install_with_uv(folders: list[str], extras: str) -> bool:
    """Install with uv; False where uv can't be had or fails."""
    if call(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", LOCK, "uv") != 0:
        return False
    links = [argument for folder in folders for argument in ("--find-links", folder)]
    install = [PYTHON, "-m", "uv", "pip", "install", "--quiet", "--python", PYTHON, "-c", LOCK, *links]
    has_cpu_torch = any(any(Path(folder).glob("torch-*+cpu-*")) for folder in folders)
    if not has_cpu_torch and sys.platform.startswith("linux"):
        call(*install, "--torch-backend", "cpu", TORCH)  # best effort: what follows takes any torch 2.13.0
    return call(*install, TORCH) == 0 and call(*install, "-e", f".[{extras}]") == 0


def install_with_pip(extras: str) -> bool:
    """Install with pip, torch first so that nothing pulls another build of it."""
    install = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", LOCK]
    return call(*install, TORCH) == 0 and call(*install, "-e", f".[{extras}]") == 0


def set_up(level: int) -> None:
    """Make the environment where it is missing, out of date or smaller than `EXTRAS[level]`."""
    key = fingerprint()
    made, _, largest = STAMP.read_text(encoding="utf-8").partition(" ") if STAMP.exists() else ("", "", "")
    if made == key and int(largest) >= level:
        return
    print("Setting up .venv (once; a minute or two) ...", file=sys.stderr, flush=True)
    if not PYTHON.exists():
        venv.create(ENV, with_pip=True)
    if not install_with_uv(wheel_folders(), EXTRAS[level]):
        print("uv can't be used here; installing with pip (slower) ...", file=sys.stderr, flush=True)
        if not install_with_pip(EXTRAS[level]):
            sys.exit("Set-up failed: see the installer's message above. Nothing else was changed.")
    STAMP.write_text(f"{key} {level}", encoding="utf-8")


def lock() -> int:
    """Write constraints.txt anew: what it pins stays as far as pyproject.toml allows, and nothing is installed.

    Left out is what torch's build with CUDA would bring: here its CPU build is used.
    """
    found = LOCK.with_suffix(".new")
    found.write_text(LOCK.read_text(encoding="utf-8"), encoding="utf-8")
    chosen = ["--extra", "dev", "--extra", "bench", "--python-version", "3.11", "-o", found]
    quiet = ["--quiet", "--no-annotate", "--no-header"]
    pin = ROOT / ".torch.txt"
    pin.write_text(TORCH, encoding="utf-8")
    code = call(PYTHON, "-m", "uv", "pip", "compile", "pyproject.toml", *chosen, *quiet, "-c", pin)
    pin.unlink()
    pins = found.read_text(encoding="utf-8").split()
    found.unlink()
    if code == 0:
        kept = {pin.partition("==")[0]: pin for pin in pins if not pin.startswith(("nvidia-", "cuda-", "triton=="))}
        LOCK.write_text("".join(f"{kept[name]}\n" for name in sorted(kept)), encoding="utf-8")
    return code


def clean() -> None:
    """Remove what the other commands made."""
    for name in (".venv", ".cache", ".shadoweval", ".pytest_cache", ".ruff_cache", "build", "dist"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for report in (ROOT / "reports").glob("*.html"):
        report.unlink()


def main(arguments: list[str]) -> int:
    """Run one command; the exit code of its first failing step."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts this may have any Python
        here = sys.version.split()[0]
        sys.exit(f"shadoweval needs Python 3.11 or later; this is {here}. Try: make PYTHON=python3.12 test")
    command, *rest = arguments or ["setup"]
    if command == "clean":
        clean()
        return 0
    if command == "run":
        set_up(needed(command))
        return call(*rest)
    if command == "lock":
        set_up(needed(command))
        return lock()
    if command not in COMMANDS:
        sys.exit(f"Unknown command {command!r}. Known: {', '.join([*COMMANDS, 'lock', 'run', 'clean'])}.")
    set_up(needed(command))
    for step in COMMANDS[command]:
        code = call(PYTHON, *step, *rest)
        if code != 0:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
