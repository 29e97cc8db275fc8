"""Which reports were written, and whose words they carry: an erasure can't reach into files, but it can name them.

Beside the experiment's other files lies one for each report that carries texts: where it is, and the ids of its
queries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.private import private_folder, replace_private
from shadoweval.records import Evaluation
from shadoweval.reporting.texts import Texts

__all__ = ["WrittenQueries", "note_report", "reports_holding"]

_FOLDER: Final = "reports-written"


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    queries: tuple[str, ...]


class WrittenQueries:
    """The note of one file, made anew: whose words are in it, in as many parts as it takes.

    Args:
        folder: The experiment's home.
        path: The file.
    """

    MOST: Final = 10_000
    """Queries of a part."""

    def __init__(self, folder: Path, path: Path) -> None:
        self._folder, self._path, self._parts = folder / _FOLDER, path.resolve(), 0
        self._name = hashlib.sha256(str(self._path).encode("utf-8", "replace")).hexdigest()[:32]
        for old in self._folder.glob(f"{self._name}*.json"):
            old.unlink(missing_ok=True)

    def add(self, queries: Iterable[str]) -> None:
        """Write down that it has words of these queries, by their ids.

        Raises:
            OSError: it can't be written.
        """
        private_folder(self._folder)
        note = self._folder / f"{self._name}-{self._parts}.json"
        replace_private(note, msgspec.json.encode(_Written(path=str(self._path), queries=tuple(queries))))
        self._parts += 1


def note_report(path: Path, evaluation: Evaluation, *, texts: Texts) -> None:
    """Write down that a report is at `path`; one without texts takes the place of what was there.

    Nothing is written where the experiment has no home any more, as after a suite, or has it on another host.

    Raises:
        OSError: it can't be written.
    """
    folder = Path(evaluation.home)
    if not evaluation.home or not folder.is_dir():
        return
    note = WrittenQueries(folder, path)
    if texts == "none":
        return
    examples = (each.query_id for examples in evaluation.examples.values() for each in examples)
    listed = (row.id for table in evaluation.queries.values() for row in table.rows)
    note.add(dict.fromkeys((*examples, *listed)))


def reports_holding(folder: Path, *, gone: Callable[[Sequence[str]], Collection[str]]) -> list[Path]:
    """Reports that are still there and carry words of queries that are not in the store any more.

    `gone` says which of some queries these are. Notes of files that were deleted are taken away.
    """
    return sorted({Path(written.path) for written in _noted(folder) if gone(written.queries)})


def _noted(folder: Path) -> Iterator[_Written]:
    for note in sorted((folder / _FOLDER).glob("*.json")):
        try:
            written = msgspec.json.decode(note.read_bytes(), type=_Written)
        except (OSError, msgspec.MsgspecError):
            continue
        if Path(written.path).exists():
            yield written
        else:
            note.unlink(missing_ok=True)
