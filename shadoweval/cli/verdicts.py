"""Exit codes: what a verdict says to a script."""

from __future__ import annotations

from typing import Final

from shadoweval.records import Evaluation

__all__ = ["EXIT", "exit_code"]

EXIT: Final = {"broken": 1, "error": 2, "inconclusive": 3, "proven": 0}
"""`Verdict.why` -> exit code, the gravest first; of several candidates the gravest counts."""


def exit_code(evaluation: Evaluation) -> int:
    """0 promote, 1 rollback, 2 held by an error, 3 undecided."""
    reached = {verdict.why for verdict in evaluation.verdicts}
    return next((code for why, code in EXIT.items() if why in reached), EXIT["error"])
