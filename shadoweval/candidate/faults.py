"""A candidate that fails on purpose: what `shadoweval drill` runs in the place of one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from shadoweval.candidate.target import load_target
from shadoweval.capture import tool
from shadoweval.codec import freeze, thaw

__all__ = ["HOLD", "MESSAGE", "UNSAFE_TOOL", "Fault"]

Fault = Literal["raises", "slow", "wrong", "write", "crash"]
MESSAGE: Final = "shadoweval drill: this candidate fails on purpose"
EXIT_CODE: Final = 70
UNSAFE_TOOL: Final = "drill_pay"
HOLD: Final = "hold"
"""While a file of this name lies in the drill's folder, every run hangs."""


class DrillError(Exception):
    """What a candidate raises in a drill."""


@tool(effect="write")
def drill_pay(amount: int) -> str:
    """A payment, if it were made: a file that must not be there afterwards."""
    return f"paid {amount}"


def faulty(
    target: str, fault: Fault, *, entry: str, folder: str, seconds: float, others: Sequence[bytes]
) -> Callable[..., Any]:
    """A function that is called as `target` is, and fails.

    Args:
        target: `"module:attribute"` of the real candidate, which answers where the fault leaves it to.
        fault: `raises`; `slow`: it answers `seconds` later; `wrong`: it answers another question; `write`: it calls a
            tool that writes, and writes a file; `crash`: its process ends.
        entry: By which method a runnable is run.
        folder: The drill's.
        seconds: See above.
        others: Two frozen inputs, of which the one that was not asked is answered.
    """
    real = load_target(target).call(entry)

    def answer(*args: Any, **kwargs: Any) -> Any:
        if (Path(folder) / HOLD).exists():
            threading.Event().wait()
        if fault == "raises":
            raise DrillError(MESSAGE)
        if fault == "crash":
            os._exit(EXIT_CODE)
        if fault == "slow":
            time.sleep(seconds)
        if fault == "write":
            _write(Path(folder))
        if fault == "wrong":
            asked = freeze((args, kwargs))
            args, kwargs = thaw(next(other for other in others if other != asked))
        return real(*args, **kwargs)

    return answer


def _write(folder: Path) -> None:
    """Try to pay and to leave a file; what the stubs and the guard say to it is theirs to tell."""
    for attempt in (lambda: drill_pay(amount=500), lambda: (folder / "written").write_text("written")):
        try:
            attempt()
        except Exception as error:  # noqa: BLE001 - whoever refuses it
            del error
