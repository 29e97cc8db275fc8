"""Which version of a pipeline this is, where nobody names it: a hash of what its process imported and read.

That is each module under the project's folder, by its syntax tree without docstrings, so that comments, docstrings and
formatting change nothing; and each text file of up to 1 MiB under it that was opened for reading while the pipeline was
imported and warmed up: prompts, templates, settings. What lies in one folder with a data store is the store's, and what
the process only meets in a call is not seen: name such things by `VERSIONS`.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

__all__ = ["code_version", "project_of", "watch_reading"]

_LARGEST: Final = 1 << 20
_SOURCE: Final = ".py"
_NEVER: Final = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})
_STORES: Final = frozenset(
    {".arrow", ".bin", ".db", ".duckdb", ".faiss", ".idx", ".index", ".lance", ".mdb", ".npy", ".parquet", ".sqlite"}
    | {".sqlite3"}
)
"""Ends of the names of files that only a data store has; their neighbours are taken for its own."""
_NOT_TEXT: Final = frozenset({".pyc", ".so", ".lock", ".log", ".pid", _SOURCE})
_DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def project_of(module: ModuleType) -> Path | None:
    """The project's folder: the working directory where the module lies in it, else the folder it is imported from.

    An installed package is a project of its own. None: it has no file.
    """
    file = getattr(module, "__file__", None)
    if not file:
        return None
    path = Path(file).resolve()
    depth = module.__name__.count(".") + (path.stem == "__init__")
    package = path.parents[min(depth, len(path.parents) - 1)]
    if _NEVER.isdisjoint(path.parts):
        here = Path.cwd()
        return here if here in path.parents and here != Path(here.anchor) else package
    return package / module.__name__.partition(".")[0]


def code_version(root: Path, read: set[str], *, but: set[str]) -> str:
    """Twelve hexadecimal digits that change with the modules and text files under `root`.

    Args:
        root: The project's folder.
        read: Files that were opened for reading.
        but: Names of modules that do not belong to the pipeline.
    """
    digest = hashlib.sha256()
    modules = {
        file
        for name, module in list(sys.modules.items())
        if name not in but and name.partition(".")[0] != "shadoweval"
        for file in _file_of(module)
    }
    for path in sorted(path for path in modules if _inside(root, path)):
        digest.update(repr((str(path.relative_to(root)), _code(path))).encode())
    for path in sorted(_texts(root, read)):
        digest.update(repr((str(path.relative_to(root)), path.read_bytes())).encode())
    return digest.hexdigest()[:12]


def _file_of(module: Any) -> Iterator[Path]:
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        yield Path(file).resolve()


def _inside(root: Path, path: Path) -> bool:
    if root not in path.parents:
        return False
    parts = path.relative_to(root).parts
    return _NEVER.isdisjoint(parts) and not any(part.startswith(".") for part in parts)


@functools.cache
def _code(path: Path) -> bytes:
    """Of a module's file: what it does, whatever its comments, docstrings and lines."""
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    if path.suffix != _SOURCE:
        return hashlib.sha256(content).digest()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # it was changed since it was imported
        return hashlib.sha256(content).digest()
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree, annotate_fields=False).encode("utf-8", "surrogatepass")).digest()


def _texts(root: Path, read: set[str]) -> Iterator[Path]:
    for path in {Path(name).resolve() for name in read}:
        if path.suffix not in _NOT_TEXT and _inside(root, path) and _is_text(path) and not _beside_a_store(root, path):
            yield path


def _is_text(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return False
        content = path.read_bytes()
        content.decode()
    except (OSError, UnicodeDecodeError):
        return False
    return b"\0" not in content


def _beside_a_store(root: Path, path: Path) -> bool:
    """Whether a folder on the way down from `root` holds files of a data store."""
    folders = [folder for folder in path.parents if root in folder.parents]
    return any(_holds_a_store(folder) for folder in folders)


@functools.cache
def _holds_a_store(folder: Path) -> bool:
    try:
        return any(each.suffix in _STORES for each in folder.iterdir())
    except OSError:
        return False


def watch_reading() -> Callable[[], set[str]]:
    """Begin to note which files are opened for reading. Returns what ends that and gives their paths."""
    read: set[str] | None = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        # An audit hook can't be removed again, so it must cost next to nothing once nobody watches.
        if read is not None and event == "open" and isinstance(arguments[0], str | os.PathLike):
            mode, flags = arguments[1], arguments[2]
            writes = flags & (os.O_WRONLY | os.O_RDWR) if isinstance(flags, int) else False
            if not writes and not (isinstance(mode, str) and set("wax+") & set(mode)):
                read.add(os.path.abspath(os.fspath(arguments[0])))  # noqa: PTH100 - may be bytes or text

    def ended() -> set[str]:
        nonlocal read
        noted, read = read or set(), None
        return noted

    sys.addaudithook(note)
    return ended
