"""HTTP exchanges of a candidate's process: written down in one run, answered from what was written in another.

So the pull requests of a pipeline that asks a model are judged without key and network: the main branch was run once
with a model, and recorded; the working tree asks the record. A request is known by its method, its address and its body
(JSON in canonical form), and by how often its run has made it; credentials are no part of it. A request that the record
lacks is counted. It gets what the same query was answered at the same place of its run, so that what does not depend on
the answer can still be judged (retrieval does not); beyond the record there is nothing to give, and the run ends.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from shadoweval.candidate.tools import intercept
from shadoweval.errors import ShadowEvalError
from shadoweval.settings import without_secrets

__all__ = ["ASKED", "EXCHANGES", "Asked", "Exchange", "Exchanges", "begin", "exchanges"]

Mode = Literal["record", "replay"]

ASKED: Final = "asked-*.jsonl"
"""What was asked in a replay, a file for each process: lines of `Asked`."""
EXCHANGES: Final = "exchanges*.jsonl"
"""What was recorded, a file for each process, or what is replayed: lines of `Exchange`."""
_KEPT: Final = ("content-type", "content-encoding", "retry-after")
_KEYS: Final = ("OPENAI", "AZURE_OPENAI", "ANTHROPIC", "MISTRAL", "COHERE", "GROQ", "GOOGLE", "GEMINI", "DEEPSEEK")
"""Whose clients can't be made without `X_API_KEY` in the environment, whether anything is asked or not."""
_SHOWN: Final = 120


class Exchange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request and its answer."""

    query: str
    """Id of the query whose run it was; empty: of none, such as an import's."""
    method: str
    url: str
    request: str
    """Its body: JSON in canonical form, or other text as it was, or else its SHA-256."""
    status: int
    headers: dict[str, str] = {}
    text: str = ""
    """The answer's body, where that is UTF-8; else in base64 in `content`."""
    content: str = ""

    @property
    def body(self) -> bytes:
        """The answer's body, as it came."""
        return base64.b64decode(self.content) if self.content else self.text.encode()

    @property
    def key(self) -> str:
        """What it is found by."""
        return f"{self.method}\n{self.url}\n{self.request}"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request of a replay."""

    query: str
    shown: str
    """The request, for people."""
    recorded: bool
    """Whether the record has it."""


class UnrecordedError(ShadowEvalError):
    """A request that the record lacks, with nothing at its place."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.shadow_cause = (f"the recording has no answer to {shown}", "record it anew: --shadow-bless")
        super().__init__(f"The recording has no answer to {shown}, and none at its place of the run.")


class Exchanges:
    """Those of one process; forks go on with what it has.

    Args:
        mode: Whether they are recorded or replayed.
        folder: Where files as `EXCHANGES` and `ASKED` lie, and are written.
    """

    def __init__(self, mode: Mode, folder: Path) -> None:
        self.mode, self._folder = mode, folder
        self._by_key: defaultdict[tuple[str, str], list[Exchange]] = defaultdict(list)
        self._anybody: dict[str, Exchange] = {}
        self._places: defaultdict[tuple[str, str, str], list[Exchange]] = defaultdict(list)
        self._times: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._lock = threading.Lock()
        for exchange in _read(folder) if mode == "replay" else ():
            self._by_key[exchange.query, exchange.key].append(exchange)
            self._anybody.setdefault(exchange.key, exchange)
            self._places[exchange.query, exchange.method, _path(exchange.url)].append(exchange)

    def record(
        self, request: tuple[str, str, bytes], *, status: int, headers: Mapping[str, str], content: bytes
    ) -> None:
        """Write down an exchange. `request`: method, address and body."""
        method, url, asked = _known_by(*request)
        try:
            body = {"text": content.decode()}
        except UnicodeDecodeError:
            body = {"content": base64.b64encode(content).decode()}
        kept = {name: headers[name] for name in _KEPT if name in headers}
        exchange = Exchange(query=_query(), method=method, url=url, request=asked, status=status, headers=kept, **body)
        self._write("exchanges", exchange)

    def answer(self, request: tuple[str, str, bytes]) -> Exchange:
        """What a request is answered.

        Raises:
            UnrecordedError: the record has nothing for it.
        """
        method, url, body = _known_by(*request)
        query, key = _query().partition("#")[0], f"{method}\n{url}\n{body}"
        with self._lock:
            run = _run()
            self._times[run, key] += 1
            self._times[run, f"{method} {_path(url)}"] += 1
            nth, place = self._times[run, key], self._times[run, f"{method} {_path(url)}"]
        same = self._by_key.get((query, key), [])
        exchange = same[min(nth, len(same)) - 1] if same else self._anybody.get(key)
        shown = _shown(method, url, body)
        self._write("asked", Asked(query=query, shown=shown, recorded=exchange is not None))
        if exchange is None:
            there = self._places.get((query, method, _path(url)), [])
            if place > len(there):
                raise UnrecordedError(shown)
            exchange = there[place - 1]
        return exchange

    def _write(self, name: str, line: Exchange | Asked) -> None:
        content = msgspec.json.encode(line) + b"\n"
        with self._lock, (self._folder / f"{name}-{os.getpid()}.jsonl").open("ab") as file:
            file.write(content)


def _read(folder: Path) -> Iterable[Exchange]:
    decode = msgspec.json.Decoder(Exchange).decode
    for file in sorted(folder.glob(EXCHANGES)):
        yield from (decode(line) for line in file.read_bytes().splitlines() if line)


def _known_by(method: str, url: str, body: bytes) -> tuple[str, str, str]:
    url = without_secrets(url)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return method, url, f"sha256:{hashlib.sha256(body).hexdigest()}"
    try:
        return method, url, json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return method, url, text


def _path(url: str) -> str:
    return url.partition("?")[0]


def _shown(method: str, url: str, body: str) -> str:
    """A request in a line: where it goes, the model, and the end of what is asked, which is where questions stand."""
    try:
        asked: Any = json.loads(body)
    except ValueError:
        asked = {}
    asked = asked if isinstance(asked, dict) else {}
    last = asked.get("messages") or asked.get("input") or asked.get("prompt") or ""
    last = last[-1] if isinstance(last, list) and last else last
    last = last.get("content", "") if isinstance(last, dict) else last
    words = " ".join(str(last).split())
    words = f"{words[:_SHOWN]}..." if len(words) > _SHOWN else words
    return " ".join(
        part for part in (method, _path(url), str(asked.get("model", "")), repr(words) if words else "") if part
    )


def _query() -> str:
    """Id of the query whose run the calling code belongs to; empty: of none."""
    session = intercept.current()
    return "" if session is None else session.query_id


def _run() -> str:
    session = intercept.current()
    return "" if session is None else f"{session.query_id} {id(session)}"


_begun: Final[list[Exchanges]] = []
"""This process's, one or none."""


def begin(mode: str, folder: str) -> None:
    """Have the requests of this process and of its forks recorded or replayed.

    In a replay nobody needs a key, and clients that ask for one in the environment find one that opens nothing.
    """
    if mode == "replay":
        for name in _KEYS:
            os.environ.setdefault(f"{name}_API_KEY", "recorded")
    _begun[:] = [Exchanges("replay" if mode == "replay" else "record", Path(folder))]


def exchanges() -> Exchanges | None:
    """Those of this process; None: neither recorded nor replayed."""
    return _begun[0] if _begun else None
