#!/usr/bin/env python3
"""Make `.venv` from the lock, then run a command in it. Standard library only; Python 3.11 or later.

    python3 tools/bootstrap.py demo | test | slow | lint | bench | setup | lock | clean | run COMMAND ...

The environment is made once, again whenever pyproject.toml, constraints.txt or this file changes, and grows when a
command needs more: `demo` needs the least, `bench` (and CI, where the variable CI is set) the most. uv installs (from
the registry); where uv can't be had, pip does. Folders of pip's own `find-links` setting are passed on to uv, which
does not read pip's configuration. On Linux torch's CPU build is used: from such a folder if one holds it, else from
PyTorch's own index; the default index would bring gigabytes of CUDA.

What is installed must be a file that hashes.txt names (uv and the build backend too; torch alone is not, since its
builds come from several places). An index that builds its files itself serves others; SHADOWEVAL_UNVERIFIED=1 takes
them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENV = ROOT / ".venv"
BIN = ENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = ENV / ".stamp"
LOCK = ROOT / "constraints.txt"
HASHES = ROOT / "hashes.txt"
UNVERIFIED = "SHADOWEVAL_UNVERIFIED"
TORCH = "torch==2.13.0"
BACKEND = ("editables", "hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
"""What builds this project, all of it."""
NO_CUDA = ("nvidia-", "cuda-", "triton==")

# Half of a test's time is waiting: for deadlines, for processes that are killed.
PROCESSES = str(max(2, 3 * (os.cpu_count() or 2) // 2))

# A worker that is gone fails the run at once (xdist's scheduler can wait for ever for its replacement).
TESTS = ["-n", PROCESSES, "--dist", "loadfile", "--max-worker-restart", "0"]
COLOR = ["--color", "yes"] if sys.stdout.isatty() else []

EXTRAS = ("demo", "dev", "dev,bench")
"""What is installed, each including the one before it."""

COMMANDS: dict[str, list[list[str]]] = {
    "setup": [],
    "demo": [["-m", "pipelines.demo"]],
    "test": [["tools/suite.py", *TESTS, *COLOR]],
    "slow": [["tools/suite.py", "--silence", "3660", *TESTS, *COLOR, "-m", "slow or marathon", "--timeout", "3600"]],
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
    environment = {**os.environ, **threads, **offline, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes import the same thousands of files
    return environment


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
    inputs = [ROOT / "pyproject.toml", LOCK, HASHES, Path(__file__)]
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


def hashed() -> dict[str, str]:
    """From `name==version` to its lines in hashes.txt, which name every file of that version."""
    blocks = re.split(r"^(?=\S)", HASHES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {block.split()[0]: block for block in blocks}


def install_hashed(installer: list[str | Path], pins: list[str]) -> bool:
    """Install exactly these, each of them only as a file that hashes.txt names; False: that can't be done."""
    known, take_any = hashed(), bool(os.environ.get(UNVERIFIED))
    unknown = [pin for pin in pins if pin not in known]
    if unknown and not take_any:
        print(f"hashes.txt does not name {', '.join(unknown)}: run `python3 tools/bootstrap.py lock`.", file=sys.stderr)
        return False
    chosen = ENV / "requirements.txt"
    chosen.write_text("".join(f"{pin}\n" if take_any else known[pin] for pin in pins), encoding="utf-8")
    checked = [] if take_any else ["--require-hashes"]
    return not pins or call(*installer, "--no-deps", *checked, "-r", chosen) == 0


def pinned(*names: str) -> list[str]:
    """The pins of these names."""
    return [pin for pin in hashed() if pin.partition("==")[0] in names]


def planned(*command: str | Path) -> list[str] | None:
    """What an installer that only says what it would do would install, as pins; None: it can't."""
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=quiet_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        return None
    if done.stdout.startswith("{"):  # pip's report
        found = [(each["metadata"]["name"], each["metadata"]["version"]) for each in json.loads(done.stdout)["install"]]
    else:
        found = re.findall(r"^ \+ (\S+)==(\S+)$", done.stderr, re.MULTILINE)
    pins = [f"{re.sub('[-_.]+', '-', name).lower()}=={version}" for name, version in found]
    return [pin for pin in pins if not pin.startswith(("shadoweval==", TORCH))]


def install_uv() -> bool:
    """Install uv itself, by pip; False where it can't be had."""
    return install_hashed([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"], pinned("uv"))


def install_with_uv(folders: list[str], extras: str) -> bool:
    """Install with uv; False where uv can't be had or fails."""
    if not install_uv():
        return False
    links = [argument for folder in folders for argument in ("--find-links", folder)]
    uv = [PYTHON, "-m", "uv", "pip", "install", "--python", PYTHON, *links]
    install = [*uv, "--quiet"]
    has_cpu_torch = any(any(Path(folder).glob("torch-*+cpu-*")) for folder in folders)
    if not has_cpu_torch and sys.platform.startswith("linux"):
        call(*install, "--no-deps", "--torch-backend", "cpu", TORCH)  # best effort: what follows takes any torch 2.13.0
    if call(*install, "--no-deps", TORCH) != 0:
        return False
    wanted = ["--no-build-isolation", "-e", f".[{extras}]"]
    if not install_hashed(install, pinned(*BACKEND)):
        return False
    plan = planned(*uv, "--dry-run", "-c", LOCK, *wanted)
    if plan is None or not install_hashed(install, plan) or call(*install, "--no-deps", *wanted) != 0:
        return False
    # As pip does: half of the time of an import is compiling, and a contained candidate may write nothing.
    call(PYTHON, "-W", "ignore", "-m", "compileall", "-qq", "-j", "0", str(ENV / "lib"))  # what is not Python 3 fails
    return True


def install_with_pip(extras: str) -> bool:
    """Install with pip, torch first so that nothing pulls another build of it."""
    install = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wanted = ["--no-build-isolation", "-e", f".[{extras}]"]
    if call(*install, "--no-deps", TORCH) != 0 or not install_hashed(install, pinned(*BACKEND)):
        return False
    plan = planned(*install, "--dry-run", "--report", "-", "-c", LOCK, *wanted)
    return plan is not None and install_hashed(install, plan) and call(*install, "--no-deps", *wanted) == 0


def begin() -> None:
    """Make an empty environment where there is none."""
    if not PYTHON.exists():
        venv.create(ENV, with_pip=True)


def set_up(level: int) -> None:
    """Make the environment where it is missing, out of date or smaller than `EXTRAS[level]`."""
    key = fingerprint()
    made, _, largest = STAMP.read_text(encoding="utf-8").partition(" ") if STAMP.exists() else ("", "", "")
    if made == key and int(largest) >= level:
        return
    print("Setting up .venv (once; a minute or two) ...", file=sys.stderr, flush=True)
    begin()
    if not install_with_uv(wheel_folders(), EXTRAS[level]):
        print("uv can't be used here; installing with pip (slower) ...", file=sys.stderr, flush=True)
        if not install_with_pip(EXTRAS[level]):
            sys.exit(
                "Set-up failed: see the installer's message above. Nothing else was changed. Where it says that a hash "
                "differs, the package index serves another file than hashes.txt names: somebody replaced it, or the "
                f"index builds its files itself. Only in the second case set {UNVERIFIED}=1."
            )
    STAMP.write_text(f"{key} {level}", encoding="utf-8")


def lock() -> int:
    """Write constraints.txt and hashes.txt anew: what is pinned stays as far as pyproject.toml allows.

    Nothing is installed. hashes.txt has every file of each version, for whatever platform and Python. constraints.txt
    has what Linux with the oldest Python and torch's CPU build needs; what others need besides is in hashes.txt alone.
    """
    import tomllib  # noqa: PLC0415 - an older Python gets as far as the message that says so

    with tempfile.TemporaryDirectory() as folder:
        torch, backend, found = (Path(folder, name) for name in ("torch.txt", "backend.txt", "found.txt"))
        torch.write_text(TORCH, encoding="utf-8")
        requires = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
        backend.write_text("\n".join([*requires, "editables"]), encoding="utf-8")
        compiling = [PYTHON, "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", "dev", "--extra", "bench"]
        compiling += ["--python-version", "3.11", "--quiet", "--no-annotate", "--no-header", "-c", torch]
        found.write_text(LOCK.read_text(encoding="utf-8"), encoding="utf-8")
        if call(*compiling, "-o", found) != 0:
            return 1
        pins = [pin for pin in found.read_text(encoding="utf-8").split() if not pin.startswith(NO_CUDA)]
        LOCK.write_text(
            "".join(f"{pin}\n" for pin in sorted(pins, key=lambda pin: pin.partition("==")[0])), encoding="utf-8"
        )
        found.write_text(HASHES.read_text(encoding="utf-8") if HASHES.exists() else "", encoding="utf-8")
        if call(*compiling, backend, "-c", LOCK, "--universal", "--generate-hashes", "-o", found) != 0:
            return 1
        text = re.sub(r" ;.*? \\$", r" \\", found.read_text(encoding="utf-8"), flags=re.MULTILINE)
        blocks = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
        HASHES.write_text("".join(block for block in blocks if not block.startswith(TORCH)), encoding="utf-8")
    return 0


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
        begin()
        return lock() if install_uv() else 1
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
