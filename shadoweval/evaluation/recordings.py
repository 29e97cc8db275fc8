"""The main branch, recorded: what its pipeline did for each case of a suite, and what models answered it.

One file of JSON lines for all suites, to be kept beside the case files or in CI's cache. Each line belongs to a suite:

    {"suite": "support support.jsonl", "about": {"experiment": "support", "incumbent": "...", "at": "..."}}
    {"suite": "...", "case": "doc-001", "asks": "...", "envelope": "..."}
    {"suite": "...", "exchange": {"query": "doc-001", "method": "POST", "url": "...", "request": "...", ...}}

Nothing but `--shadow-bless` writes it. It holds questions, answers and prompts in plain text, and no credentials.
"""

from __future__ import annotations

import base64
import contextlib
import os
import zlib
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.candidate.tools.exchanges import EXCHANGES, Exchange
from shadoweval.codec import decode_envelope, encode_envelope
from shadoweval.errors import ShadowEvalError
from shadoweval.experiment import Experiment
from shadoweval.private import replace_private
from shadoweval.records import Envelope, Query

__all__ = ["Recording", "RecordingError", "read_recording", "suite_name", "write_recording"]

_MEND: Final = "Record the main branch: pytest --shadow-bless --shadow-baseline FILE, with a model."


class RecordingError(ShadowEvalError):
    """A recording that can't be used."""

    def __init__(self, file: Path, why: str, *, mend: str = _MEND) -> None:
        self.file, self.why = file, why
        super().__init__(f"The recording {str(file)!r} can't be used: {why}. {mend}")


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the file; it has `about`, `case` or `exchange`."""

    suite: str
    about: dict[str, str] | None = None
    case: str = ""
    asks: str = ""
    """`Case.identity`: what the case asked when it was recorded."""
    envelope: str = ""
    exchange: Exchange | None = None


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One suite of the main branch."""

    about: dict[str, str]
    envelopes: dict[str, Envelope]
    """What the incumbent did, by what was asked (`Case.identity`): ids may be places in a file that grows."""
    exchanges: tuple[Exchange, ...]

    def write_exchanges(self, folder: Path, queries: Iterable[Query]) -> None:
        """Lay them out for a replay of these queries, in a folder of their own."""
        names = {envelope.id: f"unasked {envelope.id}" for envelope in self.envelopes.values()}
        asked = [(query, self.envelopes[query.identity]) for query in queries]
        names |= {envelope.id: query.id for query, envelope in asked if "#" not in query.id}
        named = (msgspec.structs.replace(each, query=names.get(each.query, "")) for each in self.exchanges)
        lines = (msgspec.json.encode(exchange) + b"\n" for exchange in named)
        (folder / EXCHANGES.replace("*", "")).write_bytes(b"".join(lines))


def suite_name(experiment: Experiment, cases: Path) -> str:
    """What a suite goes by in a file."""
    return f"{experiment.name} {cases.name}"


def read_recording(file: Path, suite: str) -> Recording:
    """A suite of a file.

    Raises:
        RecordingError: there is no such file or suite, or it is damaged, or from a later version.
    """
    about: dict[str, str] | None = None
    envelopes: dict[str, Envelope] = {}
    exchanges: list[Exchange] = []
    for line in _lines(file):
        if line.suite != suite:
            continue
        if line.about is not None:
            about = line.about
        if line.case:
            envelopes[line.asks] = _envelope(file, line)
        if line.exchange is not None:
            exchanges.append(line.exchange)
    if about is None:
        raise RecordingError(file, f"it holds no suite {suite!r}")
    return Recording(about=about, envelopes=envelopes, exchanges=tuple(exchanges))


def _envelope(file: Path, line: _Line) -> Envelope:
    try:
        return decode_envelope(zlib.decompress(base64.b64decode(line.envelope)), encoded=True)
    except (ValueError, zlib.error, ShadowEvalError) as error:
        raise RecordingError(file, f"case {line.case!r} can't be read: {error}") from error


def _lines(file: Path) -> Iterable[_Line]:
    decode = msgspec.json.Decoder(_Line).decode
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RecordingError(file, f"it can't be read: {error.strerror}") from error
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            try:
                yield decode(line)
            except msgspec.DecodeError as error:
                raise RecordingError(file, f"line {number} is none of ours: {error}") from error


def write_recording(
    file: Path,
    suite: str,
    *,
    about: Mapping[str, str],
    served: Iterable[Envelope],
    exchanges: Iterable[Exchange],
) -> None:
    """Put a suite into a file, in the place of what was recorded of it before; other suites stay as they are.

    Args:
        file: Made where it is missing.
        suite: Its name.
        about: What to know about it, for people.
        served: What the incumbent did.
        exchanges: What the incumbent asked of models and others.

    Raises:
        RecordingError: the file holds something else.
        UncopyableError: an answer can't become bytes.
    """
    new = [_Line(suite=suite, about=dict(about))]
    for envelope in served:
        packed = base64.b64encode(zlib.compress(encode_envelope(envelope))).decode()
        new.append(_Line(suite=suite, case=envelope.id, asks=envelope.query.identity, envelope=packed))
    # Sorted, so that the file changes where what it holds does, whichever process was first.
    known = sorted(exchanges, key=lambda each: (each.query, each.url))
    new += [_Line(suite=suite, exchange=exchange) for exchange in known]
    with _alone(file):
        old = [line for line in _lines(file) if line.suite != suite] if file.exists() else []
        content = b"".join(msgspec.json.encode(line) + b"\n" for line in (*old, *new))
        replace_private(file, content)


@contextlib.contextmanager
def _alone(file: Path) -> Generator[None]:
    """Hold the lock of its folder: suites in several workers of xdist may be recorded at a time."""
    import fcntl  # noqa: PLC0415 - where there is none, candidates can't run either

    file.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)  # no lock file that would lie about in a repository
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
