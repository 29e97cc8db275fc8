"""What a command prints: lines for people, and with `--json` one line for programs (docs/command-line.md)."""

from __future__ import annotations

import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from shadoweval.records import Evaluation
    from shadoweval.reporting.texts import Texts

__all__ = ["Answer", "inert", "inert_json", "say"]

_SCHEMA = "shadoweval.command/1"
"""The number rises when a field goes or means something else; new fields come without."""
_INERT = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
    if chr(code) not in "\n\t"
}
"""Control characters, other ends of lines, and what turns the direction of a text, by what is printed in its place."""
_ESCAPED = {code: f"\\u{code:04x}" for code in _INERT if code >= 0x7F}
"""The same within JSON, which has no others."""


def inert(text: str) -> str:
    """The text as a terminal may have it: what would move the cursor or set a title is shown, not obeyed."""
    return text.translate(_INERT)


def inert_json(text: str) -> str:
    """The same for a text that is JSON, and stays it."""
    return text.translate(_ESCAPED)


def say(text: object) -> None:
    """Print a line at once, also into a pipe."""
    _write(f"{inert(str(text))}\n", sys.stdout)


def _write(text: str, out: TextIO) -> None:
    """As much as the stream's encoding can hold; the rest as escapes."""
    encoding = out.encoding or "utf-8"
    out.write(text.encode(encoding, "backslashreplace").decode(encoding))
    out.flush()


class Answer:
    """What a command says to programs, gathered while it runs.

    Args:
        command: Its name.
        out: Where the line goes; None: nobody asked for one.
    """

    def __init__(self, command: str, out: TextIO | None) -> None:
        self._command, self._out = command, out
        self.fields: dict[str, Any] = {}

    def add(self, **fields: Any) -> None:
        """Fields of the next line: records, mappings, lists, texts, numbers, times."""
        self.fields |= fields

    def add_evaluation(self, evaluation: Evaluation, *, texts: Texts = "none") -> None:
        """The document of docs/report.md as the field `evaluation`."""
        if self._out is not None:
            from shadoweval.reporting.document import document  # noqa: PLC0415 - with `--json` alone

            self.fields["evaluation"] = json.loads(document(evaluation, texts=texts))

    def write(self, exit_code: int, *, error: str = "") -> None:
        """Write what was gathered as a line, and begin another one."""
        if self._out is not None:
            from shadoweval.cli.named import as_json  # noqa: PLC0415 - with `--json` alone

            head = {"schema": _SCHEMA, "command": self._command, "exit_code": exit_code}
            line = as_json({**head, **self.fields, **({"error": error} if error else {})})
            _write(f"{inert_json(line)}\n", self._out)
        self.fields = {}
