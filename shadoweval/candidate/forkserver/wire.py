"""What pool, fork server and child say to each other: four bytes of length, little-endian, and a msgpack array."""

from __future__ import annotations

import collections
import socket
import struct
from typing import Any, Final, cast

import msgspec

from shadoweval import capture, codec
from shadoweval.candidate.forkserver.entering import Place
from shadoweval.candidate.guard import GuardPolicy
from shadoweval.candidate.sandbox import Limits
from shadoweval.capture.encodable import encoded
from shadoweval.capture.responses import only_status
from shadoweval.errors import CandidateError
from shadoweval.records import Arm, Envelope, Observation, Outcome

__all__ = [
    "READ_BYTES",
    "Broken",
    "Died",
    "Forked",
    "MessageReader",
    "Messages",
    "Note",
    "Parameter",
    "Ready",
    "Report",
    "Request",
    "Start",
    "decode",
    "decode_child",
    "framed",
    "outgoing",
    "send",
]

MAX_MESSAGE: Final = 64 << 20
_LARGE: Final = 1 << 20
_ELEMENTS: Final = 1_000_000
"""Lists, mappings and texts in a message of a child's: each takes some 64 bytes once it is read."""
READ_BYTES: Final = 1 << 16
"""Bytes asked for at a time. The C library serves a larger buffer by mapping memory, and unmaps it after each message
(mallopt(3), M_MMAP_THRESHOLD): at 256 kB that took a third of the pool's time."""
_HEAD: Final = struct.Struct("<I")


class Start(msgspec.Struct, frozen=True, array_like=True):
    """Pool to fork server, first: what to import and under which conditions children run."""

    target: str
    arm: Arm
    limits: Limits
    stubs: bytes
    """Frozen `(Stubs, (extract, failures, hit_id))`."""
    guard: GuardPolicy | None
    """What children may touch; None: no guard."""
    scratch: str
    warm: str = ""
    """What is called once before children are forked."""
    mcp: dict[str, list[str]] = {}
    """Path of a socket -> the words of the command whose server answers there."""
    each: bool = False
    """Whether each child imports and warms up for itself, since a fork can't carry what that makes."""
    load_bytes: int = 0
    """What loading takes, which is on top of a child's memory cap then."""
    exchanges: tuple[str, str] | None = None
    """`record` or `replay`, and the folder: what becomes of HTTP requests; None: they go where they are sent."""
    place: Place | None = None
    """Where its modules are looked for; None: where the fork server was begun."""


class Parameter(msgspec.Struct, frozen=True, array_like=True):
    """One parameter of a target: name, `inspect` kind, and whether it may be left out."""

    name: str
    kind: int
    optional: bool


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """Fork server to pool: the target is imported."""

    concurrent: bool
    """Whether it is async and can run several envelopes at a time."""
    memory: int
    """Resident bytes of the fork server: what each child begins with."""
    versions: dict[str, str]
    parameters: list[Parameter] | None = None
    """None: it has no signature to compare."""
    remarks: list[str] = []
    """What is unusual about it, in words."""
    uncarried: str = ""
    """Why a fork can't carry what it has loaded; empty: it can."""
    data: int = 0
    """Bytes of private writable memory, which loading has taken."""


class Broken(msgspec.Struct, frozen=True, array_like=True, tag="broken"):
    """Fork server to pool: the target can't be used."""

    target: str
    why: str
    mend: str


class Forked(msgspec.Struct, frozen=True, array_like=True, tag="forked"):
    """Fork server to pool: a child runs."""

    pid: int


class Died(msgspec.Struct, frozen=True, array_like=True, tag="died"):
    """Fork server to pool: a child is gone."""

    pid: int
    status: int
    """As `os.waitpid` gives it."""
    peak_memory: int


class Request(msgspec.Struct, frozen=True, array_like=True):
    """Pool to child: run this envelope."""

    id: int
    envelope: bytes
    seconds: float = 0.0
    """The run's deadline; 0: that of the limits."""


class Note(msgspec.Struct, frozen=True, array_like=True, tag="note"):
    """Child to pool, in mid-run: what must be known even if the child does not live to report it."""

    id: int
    live_writes: int = 0
    """Writes that reached the world just now."""
    seconds: float = 0.0
    """What the run has left of its deadline, since the shadow used up the time so far; 0: as it was."""


class Report(msgspec.Struct, frozen=True, array_like=True, tag="report"):
    """Child to pool: what happened."""

    id: int
    observation: Observation
    throttled: bool = False
    """It met a rate limit."""
    retry_after: float | None = None
    unclean: str = ""
    """Why the child takes no further request; empty: it does."""
    leftovers: bool = False
    """Whether threads that runs have left are still there, asleep."""


encode: Final = msgspec.msgpack.Encoder().encode


def outgoing(envelope: Envelope) -> bytes:
    """The frame of what a run needs of an envelope: the query, the incumbent's tool calls, its response's status.

    Values are encoded already, unless somebody made the envelope by hand; what can't be says so, and is no replay.
    """
    served, query = envelope.served, envelope.query
    calls = tuple(
        msgspec.structs.replace(call, arguments=_carried(call.arguments), result=_carried(call.result))
        for call in served.tool_calls
    )
    status = None if served.outcome is None else only_status(served.outcome.value)
    slim = Observation(
        query_id=served.query_id,
        arm=served.arm,
        place=served.place,
        outcome=Outcome(tool_calls=calls, value=status) if calls or status else _NO_CALLS,
        started_at=served.started_at,
        duration=served.duration,
    )
    if query.attributes:
        query = msgspec.structs.replace(query, attributes=_carried(query.attributes))
    return codec.encode_envelope(Envelope(experiment=envelope.experiment, query=query, served=slim))


_NO_CALLS: Final = Outcome()


def _carried(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | float | bytes | msgspec.msgpack.Ext):
        return value
    if type(value) is dict:
        return {name: _carried(part) for name, part in cast("dict[Any, Any]", value).items()}
    if type(value) is list:
        return [_carried(part) for part in cast("list[Any]", value)]
    try:
        return codec.plain(value)
    except codec.UncopyableError as error:
        return {capture.UNCOPYABLE: error.why}


_decoders: Final[dict[Any, msgspec.msgpack.Decoder[Any]]] = {}


def decode(content: bytes | memoryview, kind: Any) -> Any:
    """The message of that kind. What msgpack lacks stays encoded: this process does not import a candidate's classes.

    Raises:
        CandidateError: it is none.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise CandidateError(f"Not a message of ours: {error}.") from error


def decode_child(content: bytes) -> Note | Report:
    """What a child said, unless it holds so much that reading it would cost this process its memory.

    Raises:
        CandidateError: it does, or it is no message.
    """
    if len(content) > _LARGE and codec.elements(content, _ELEMENTS) > _ELEMENTS:
        raise CandidateError(f"A message of more than {_ELEMENTS:,} lists, mappings and texts.")
    return decode(content, Note | Report)


def framed(message: Any) -> bytes:
    """The message as it goes over a socket."""
    content = encoded(message)
    return _HEAD.pack(len(content)) + content


def send(channel: socket.socket, message: Any) -> None:
    """Send one message, waiting until it is out."""
    channel.sendall(framed(message))


class MessageReader:
    """Takes messages from a blocking socket; one system call for each that is small."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel, self._buffer = channel, Messages()
        self._messages: collections.deque[bytes] = collections.deque()

    def next(self) -> bytes | None:
        """The next message's bytes, waiting for them; None: the other side is gone. Raises what `feed` raises."""
        while not self._messages:
            content = self._channel.recv(READ_BYTES)
            if not content:
                return None
            self._messages.extend(self._buffer.feed(content))
        return self._messages.popleft()


class Messages:
    """Cuts a stream of bytes into messages of at most `most` bytes."""

    def __init__(self, most: int = MAX_MESSAGE) -> None:
        self._buffer, self._most = bytearray(), most

    def feed(self, content: bytes) -> list[bytes]:
        """All messages that `content` completes.

        Raises:
            CandidateError: a length that none of our messages has.
        """
        buffer = self._buffer
        if not buffer and len(content) >= _HEAD.size and _HEAD.unpack_from(content)[0] == len(content) - _HEAD.size:
            return [content[_HEAD.size :]]  # nearly always: one whole message
        buffer += content
        messages: list[bytes] = []
        while len(buffer) >= _HEAD.size:
            size = _HEAD.unpack_from(buffer)[0]
            if size > self._most:
                raise CandidateError(f"A message of {size:,} bytes; the cap is {self._most:,}.")
            end = _HEAD.size + size
            if len(buffer) < end:
                break
            messages.append(bytes(buffer[_HEAD.size : end]))
            del buffer[:end]
        return messages
