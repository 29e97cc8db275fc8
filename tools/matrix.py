"""Does the wheel work where it is a guest? `python tools/matrix.py [NAME ...]` installs it into throw-away folders.

`bare` is the wheel alone: pure Python, and an error of ours where an extra is missing. `hour` is the first hour, walked
(`first_hour.py`). `lowest` and `newest` are the extras of `all` in the oldest versions that pyproject.toml admits and
in the newest there are; `ragas` is that extra, which holds others back and so is in no other environment; `3.12`,
`3.13` and `3.14` are other interpreters, with `all`. Each runs a part of the tests against the installed wheel; one
whose interpreter is not to be had is left out, and says so. Needs uv (it is in .venv; without it `lowest` is left out
and the rest uses pip).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = (
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "pytest-xdist",
    "hypothesis",
    "psutil",
    "httpx",
    "uvicorn",
    "fastapi",
    "qdrant-client",
)
"""What the tests need whatever the extras bring, in the versions of constraints.txt."""
COPIED = ("tests", "pipelines", "evals", "docs", "examples")
ADAPTERS = ("tests/adapters", "tests/contracts")
NUMBERS = tuple(f"tests/evidence/test_{name}.py" for name in ("bets", "inputs", "quantiles", "sessions", "slices"))
"""Those that need no other package to compare with."""
CORE = (
    "tests/test_buckets.py",
    "tests/test_codec.py",
    "tests/test_counters.py",
    "tests/test_errors.py",
    "tests/test_priority.py",
    "tests/test_records.py",
    "tests/test_settings.py",
    "tests/capture",
    "tests/transport",
    "tests/traffic",
    "--ignore=tests/traffic/test_window.py",  # statsmodels is its oracle
)
MISSING_EXTRA = """
import importlib.util
import shadoweval, shadoweval.mirror, shadoweval.transport
from shadoweval.errors import MissingExtraError
for name, extra in (("shadoweval.store", "store"), ("shadoweval.evaluation", "store")):
    try:
        importlib.import_module(name)
        importlib.import_module(f"{name}.evaluate")
    except MissingExtraError as error:
        assert error.extra == extra, error
    else:
        raise SystemExit(f"{name} was imported without the extra {extra}")
print("shadoweval", shadoweval.__version__)
"""


@dataclass(frozen=True)
class Environment:
    """What is installed, and what is run there."""

    extras: str = ""
    python: str = ""
    tests: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    marks: str = "not slow and not marathon"
    walked: bool = False
    """The commands of docs/first-hour.md are run in place of tests."""


ENVIRONMENTS = {
    "bare": Environment(),
    "hour": Environment(extras="store", walked=True),
    "lowest": Environment(
        extras="all",
        tests=(*ADAPTERS, "tests/evaluation/test_evaluate.py", *NUMBERS),
        # Lowest is asked of requirements that are named here; what a wheel asks for would be taken at its newest.
        options=("--resolution", "lowest-direct", "-r", str(ROOT / "pyproject.toml"), "--extra", "all"),
    ),
    "newest": Environment(extras="all", tests=(*ADAPTERS, "tests/evaluation/test_evaluate.py")),
    "ragas": Environment(extras="store,ragas", tests=("tests/scoring/ragas",), marks="not marathon"),
    "3.12": Environment(extras="all", python="3.12", tests=CORE),
    "3.13": Environment(extras="all", python="3.13", tests=CORE),
    "3.14": Environment(extras="all", python="3.14", tests=CORE),
}


def interpreter(version: str) -> str | None:
    """Return a Python of this version that runs: this one, one of the PATH, or one that pyenv keeps."""
    if not version:
        return sys.executable
    kept = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions").glob(f"{version}.*/bin/python")
    on_path = shutil.which(f"python{version}")
    for candidate in (*([on_path] if on_path else []), *map(str, sorted(kept))):
        asked = subprocess.run([candidate, "-V"], capture_output=True, text=True, check=False)
        if asked.returncode == 0 and f" {version}." in asked.stdout:
            return candidate
    return None


def has_uv() -> bool:
    """Whether this interpreter can run uv."""
    return subprocess.run([sys.executable, "-m", "uv", "--version"], capture_output=True, check=False).returncode == 0


def pins(names: tuple[str, ...]) -> list[str]:
    """Return the lock's lines for these packages."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    return [line for line in lines if line.partition("==")[0] in names]


def build(folder: Path, *, uv: bool) -> Path:
    """Build the wheel; it must be for every Python 3 on every system."""
    command = ["uv", "build", "--quiet", "--wheel"] if uv else ["pip", "wheel", "--quiet", "--no-deps"]
    into = "--out-dir" if uv else "--wheel-dir"
    subprocess.run([sys.executable, "-m", *command, into, str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    if not wheel.name.endswith("-py3-none-any.whl"):
        sys.exit(f"{wheel.name} is not pure Python")
    return wheel


def install(wheel: Path, environment: Environment, folder: Path, *, uv: bool) -> Path:
    """Make the environment and return its interpreter."""
    subprocess.run([str(interpreter(environment.python)), "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = [f"{wheel}[{environment.extras}]" if environment.extras else str(wheel)]
    if environment.tests:
        wanted += pins(TOOLS)
    start = [sys.executable, "-m", "uv", "pip", "install", "--python", str(python)]
    command = start if uv else [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    subprocess.run([*command, "--quiet", *environment.options, *wanted], check=True)
    return python


def check(python: Path, environment: Environment, folder: Path) -> bool:
    """Run the environment's part of the tests in a folder without our sources; True if all is well."""
    if environment.walked:
        walk = [sys.executable, str(ROOT / "tools" / "first_hour.py"), str(python)]
        return subprocess.run(walk, cwd=folder, check=False).returncode == 0
    if not environment.tests:
        done = subprocess.run([str(python), "-W", "error", "-c", MISSING_EXTRA], cwd=folder, check=False)
        script = subprocess.run([str(python.with_name("shadoweval")), "--help"], capture_output=True, check=False)
        return done.returncode == script.returncode == 0
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    gone = [test for test in environment.tests if not (folder / test.rpartition("=")[2]).exists()]
    if gone:
        sys.exit(f"tools/matrix.py names tests that are gone: {', '.join(gone)}")
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--override-ini", "addopts="]
    command += [
        "-n",
        "2",
        "--dist",
        "loadfile",
        "-m",
        environment.marks,
        "--import-mode",
        "importlib",
        *environment.tests,
    ]
    environ = {key: value for key, value in os.environ.items() if key != "CI"}  # a missing server is skipped here
    return subprocess.run(command, cwd=folder, env=environ, check=False).returncode == 0


def main(names: list[str]) -> int:
    """Install and check the environments of these names, all if there is none; 1 if one fails."""
    uv, failed = has_uv(), []
    with tempfile.TemporaryDirectory(prefix="matrix-") as scratch:
        wheel = build(Path(scratch), uv=uv)
        for name in names or ENVIRONMENTS:
            environment, began = ENVIRONMENTS[name], time.monotonic()
            if interpreter(environment.python) is None:
                print(f"== {name}: left out, there is no Python {environment.python} here", flush=True)
                continue
            if environment.options and not uv:
                print(f"== {name}: left out, it needs uv", flush=True)
                continue
            print(f"== {name}", flush=True)
            folder = Path(scratch, f"run-{name}")
            folder.mkdir()
            python = install(wheel, environment, Path(scratch, f"env-{name}"), uv=uv)
            ok = check(python, environment, folder)
            print(f"== {name}: {'well' if ok else 'FAILED'} ({time.monotonic() - began:.0f} s)", flush=True)
            failed += [] if ok else [name]
            shutil.rmtree(Path(scratch, f"env-{name}"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
