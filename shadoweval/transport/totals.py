"""What all processes of an experiment have counted: one total, and a file for each that lives.

Files whose lock is free belong to the dead: the spool's reader adds them to the total and removes them, so that
restarts don't pile up files. A file for all processes that share a memory (`transport.sums`) is held by nobody: it gets
another name when the last of them is gone. Where a whole container went at once it keeps its name, and is the dead's
when nobody has touched it for two days; whoever writes there touches it each hour.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from shadoweval.counters import read_counters
from shadoweval.private import replace_private
from shadoweval.seldom import Seldom
from shadoweval.transport.ledger import KINDS, Kind
from shadoweval.transport.locks import held
from shadoweval.transport.sums import SHARED
from shadoweval.transport.sweep import adopt

__all__ = ["total"]

_log: Final = logging.getLogger("shadoweval.transport")
_damaged: Final = Seldom()
_CERTAINLY: Final = 2 * 86_400
_TRIES: Final = 5
_TOTAL: Final = "total.json"
_BEFORE: Final = "total.before.json"


def _read_total(folder: Path) -> tuple[dict[str, dict[str, int]], set[str], bool]:
    """Sums, the files in them that may be there still, and whether they are the newest.

    A total that is empty, torn or gone costs nothing: files are removed only after the next one was written, so the
    total before it and the files that are there make the same sum.
    """
    for name in (_TOTAL, _BEFORE):
        try:
            total = json.loads((folder / name).read_bytes())
            sums = {
                str(kind): {str(n): int(count) for n, count in dict(of).items()} for kind, of in total["sums"].items()
            }
            return sums, {str(file) for file in total["folded"]}, name == _TOTAL
        except FileNotFoundError:
            continue
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if _damaged.due(folder / name):
                _log.warning("%s is damaged: the sum before it is used", folder / name, extra={"why": str(error)})
    return {}, set(), False


def total(folder: Path, kind: Kind, *, fold: bool = False) -> Mapping[str, int]:
    """Sum over all processes, living and dead, those too that nobody has read yet.

    With `fold` the dead's files are added to the total and removed: only for the one reader that holds the spool's
    lock.
    """
    adopt(folder.parent)
    if fold:
        _fold(folder)
    result = Counter[str]()
    for _ in range(_TRIES):
        sums, folded, _ = _read_total(folder)
        result, missed = Counter(sums.get(kind, {})), False
        for file in folder.glob(f"*.{kind}.counters"):
            if file.name not in folded:
                try:
                    result.update(read_counters(file))
                except FileNotFoundError:  # it got another name, or is in the total by now
                    missed = True
                except (OSError, ValueError):  # being made
                    continue
        if not missed:
            break
    return dict(result)


def _fold(folder: Path) -> None:
    """Dead processes' files become part of the total before they are removed; a crash in between counts none twice."""
    sums, folded, newest = _read_total(folder)
    for name in folded:
        (folder / name).unlink(missing_ok=True)
    dead: list[str] = []
    sums = {kind: dict(counts) for kind, counts in sums.items()}
    for kind in KINDS:
        for file in folder.glob(f"*.{kind}.counters"):
            if file.name in folded or held(file):
                continue
            try:
                if file.name.startswith(SHARED) and time.time() - file.stat().st_mtime < _CERTAINLY:
                    continue
                counts = Counter(sums.get(kind, {}))
                counts.update(read_counters(file))
            except (OSError, ValueError):
                continue
            sums[kind] = dict(counts)
            dead.append(file.name)
    if not dead and not folded:
        return
    if newest:
        (folder / _TOTAL).replace(folder / _BEFORE)
    replace_private(folder / _TOTAL, json.dumps({"sums": sums, "folded": dead}).encode())
