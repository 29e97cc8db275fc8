"""Another interpreter than the worker's: whether it can run a candidate, and how a fork server of ours begins in it.

It begins without its site-packages: nothing of that environment runs before the guard is in force, neither a `.pth`
file nor `sitecustomize`. Our package is the worker's own, by path, so that both ends of the fork server are one version
whatever is installed there; msgspec is that environment's, or the worker's where its binary fits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

import shadoweval
from shadoweval.errors import TargetError

__all__ = ["MSGSPEC", "Interpreter", "examined"]

_OLDEST: Final = (3, 11)
_SECONDS: Final = 60.0
_SHOWN: Final = 200
MSGSPEC: Final = "msgspec>=0.19,<1"
"""What a candidate's environment needs, as pip is told it."""
_FOLDER: Final = Path(msgspec.__file__).parent
_PROBE: Final = """
import os, site, sys, sysconfig
from json import dumps
home = os.path.dirname(os.path.dirname(os.path.abspath(sys.executable)))
config, prefixes = os.path.join(home, "pyvenv.cfg"), [sys.prefix, sys.exec_prefix]
if os.path.exists(config):
    with open(config, encoding="utf-8") as file:
        parts = [line.partition("=") for line in file]
    settings = {name.strip().lower(): value.strip().lower() for name, _, value in parts}
    prefixes = [home, *(prefixes if settings.get("include-system-site-packages") == "true" else [])]
folders = [folder for folder in dict.fromkeys(site.getsitepackages(prefixes)) if os.path.isdir(folder)]
for folder in list(folders):
    for name in sorted(os.listdir(folder)):
        if name.endswith(".pth"):
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                lines = [line.strip() for line in file]
            folders += [os.path.join(folder, line) for line in lines if line and not line.startswith(("#", "import"))]
found = [folder for folder in folders if os.path.exists(os.path.join(folder, "msgspec", "__init__.py"))]
releases = [name for name in os.listdir(found[0]) if name.startswith("msgspec-")] if found else []
print(dumps({"version": list(sys.version_info[:3]), "name": sys.implementation.name,
    "binary": sysconfig.get_config_var("SOABI"), "msgspec": os.path.join(found[0], "msgspec") if found else "",
    "release": releases[0].split("-")[1] if releases else ""}))
"""
"""Reads folders and path files as `site` does, and runs none of the lines of those."""
_BEGIN: Final = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
from importlib.util import module_from_spec, spec_from_file_location
for name, folder in {packages!r}:
    spec = spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
from shadoweval.candidate.forkserver.server import main
main({descriptor}, {on_refusal}, parent={parent})
"""


class Interpreter(NamedTuple):
    """One that can run a candidate."""

    executable: str
    version: str
    """`"3.12.1"`."""
    library: str
    """Folder of the msgspec that it is begun with."""

    def command(self, descriptor: int, on_refusal: int) -> list[str]:
        """What starts a fork server, from the descriptors that `server.main` is given."""
        packages = [("msgspec", self.library), ("shadoweval", str(Path(shadoweval.__file__).parent))]
        code = _BEGIN.format(packages=packages, descriptor=descriptor, on_refusal=on_refusal, parent=os.getpid())
        return [self.executable, "-S", "-c", code]


def examined(target: str, executable: str) -> Interpreter:
    """The interpreter, asked without running anything of its environment. Takes some 50 ms.

    Raises:
        TargetError: it can't run a candidate; the message says what is missing, and the line that brings it.
    """
    facts = _facts(target, executable)
    version = ".".join(map(str, facts["version"]))
    if facts["name"] != "cpython" or tuple(facts["version"]) < _OLDEST:
        why = f"{executable} is {facts['name']} {version}, and a candidate needs CPython 3.11 or later"
        raise TargetError(target, why, mend="Make its environment of such an interpreter.")
    library = facts["msgspec"] if _fits(facts["release"]) else ""
    if not library and facts["binary"] == sysconfig.get_config_var("SOABI") and not facts["msgspec"]:
        library = str(_FOLDER)
    if not library:
        there = f"has msgspec {facts['release']}" if facts["msgspec"] else f"is Python {version} and has no msgspec"
        why = f"{executable} {there}, which what runs a candidate needs"
        raise TargetError(target, why, mend=f"Run: {executable} -m pip install '{MSGSPEC}'")
    return Interpreter(executable, version, library)


def _fits(release: str) -> bool:
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0]
    return not release or (major == "0" and minor.isdigit() and int(minor) >= 19)


def _facts(target: str, executable: str) -> dict[str, Any]:
    command = [executable, "-I", "-S", "-c", _PROBE]
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the user names
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        why = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1].rstrip(".")[:_SHOWN]
    except OSError as error:
        why = error.strerror or str(error)
    except ValueError:
        why = "it answered something else"
    except subprocess.TimeoutExpired:
        why = f"no answer within {_SECONDS:g} s"
    mend = f"It has to be a Python interpreter, as {sys.executable} is."
    raise TargetError(target, f"{executable} could not say what it is: {why}", mend=mend)
