"""Which reports were written, and whose words they carry: an erasure can't reach into files, but it can name them.

Beside the experiment's other files lies one for each report that carries texts: where it is, and the ids of its
queries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.private import private_folder, replace_private
from shadoweval.records import Evaluation
from shadoweval.reporting.texts import Texts

__all__ = ["note_report", "reports_holding"]

_FOLDER: Final = "reports-written"


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    queries: tuple[str, ...]


def note_report(path: Path, evaluation: Evaluation, *, texts: Texts) -> None:
    """Write down that a report is at `path`; one without texts takes the place of what was there.

    Nothing is written where the experiment has no home any more, as after a suite, or has it on another host.

    Raises:
        OSError: it can't be written.
    """
    folder, path = Path(evaluation.home), path.resolve()
    if not evaluation.home or not folder.is_dir():
        return
    note = folder / _FOLDER / f"{hashlib.sha256(str(path).encode('utf-8', 'replace')).hexdigest()[:32]}.json"
    if texts == "none":
        note.unlink(missing_ok=True)
        return
    private_folder(note.parent)
    examples = (each.query_id for examples in evaluation.examples.values() for each in examples)
    listed = (row.id for table in evaluation.queries.values() for row in table.rows)
    queries = tuple(dict.fromkeys((*examples, *listed)))
    replace_private(note, msgspec.json.encode(_Written(path=str(path), queries=queries)))


def reports_holding(folder: Path, *, gone: Callable[[Sequence[str]], Collection[str]]) -> list[Path]:
    """Reports that are still there and carry words of queries that are not in the store any more.

    `gone` says which of some queries these are. Notes of files that were deleted are taken away.
    """
    return sorted(Path(written.path) for written in _noted(folder) if gone(written.queries))


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
