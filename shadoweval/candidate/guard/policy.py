"""What a candidate may touch, what was refused, and which layers are in force: plain frozen records."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Iterable
from typing import get_args

import msgspec

from shadoweval.candidate.sandbox import Layer
from shadoweval.records import Refusal

__all__ = [
    "OWN_SETTINGS",
    "Containment",
    "Endpoint",
    "GuardPolicy",
    "Layer",
    "Missing",
    "RefusedError",
    "advice",
    "inside",
    "normal_address",
    "real_path",
    "resolved",
    "spelled",
]

ALL_LAYERS: tuple[Layer, ...] = get_args(Layer)
# Without "netns": making a network namespace takes milliseconds, and longer while others are torn down.
DEFAULT_LAYERS: tuple[Layer, ...] = tuple(layer for layer in ALL_LAYERS if layer != "netns")


# Files that a server which imports, and a child before it narrows itself, open for writing by the supervisor's hand:
# Landlock can't know whose they are. By one the peak of memory begins anew, by the other a session lets others go
# first.
OWN_SETTINGS = ("/proc/self/clear_refs", "/proc/self/autogroup")


class Endpoint(msgspec.Struct, frozen=True):
    """A host and port (TCP or UDP) that the candidate may talk to.

    Attributes:
        host: IP address, or a name that `resolved` looks up in the parent.
        port: 1 to 65535.
        addresses: what `resolved` found for a name; empty for an IP address.
    """

    host: str
    port: int
    addresses: tuple[str, ...] = ()

    def __str__(self) -> str:
        return spelled(self.host, self.port)


class GuardPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate may touch; everything else that changes the world is refused.

    Attributes:
        scratch: an existing folder in which everything but device nodes may be written.
        allow: egress is an allow-list, empty by default (loopback included).
        unix_sockets: paths of Unix sockets that may be connected to.
        writable: further existing files, folders or devices that may be opened for writing.
        memory_bytes: what a child may allocate on top of what it was forked with; None: no cap.
        keep_fds: descriptors that may send messages without being asked about.
        layers: the layers to try; those left out are reported as missing.
        execs: how often a process may become another program; 0 for candidates.
    """

    scratch: str
    allow: tuple[Endpoint, ...] = ()
    unix_sockets: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    memory_bytes: int | None = None
    keep_fds: tuple[int, ...] = ()
    layers: tuple[Layer, ...] = DEFAULT_LAYERS
    execs: int = 0

    def writable_roots(self) -> tuple[str, ...]:
        """`scratch` and `writable` as real paths, for `inside`."""
        return tuple(os.path.realpath(path) for path in (self.scratch, *self.writable))

    def for_child(self, pid: int) -> GuardPolicy:
        """What the child `pid` of a fork server with this policy may touch: a folder of its own inside `scratch`."""
        return msgspec.structs.replace(self, scratch=f"{self.scratch}/{pid}")

    def addresses(self) -> frozenset[tuple[str, int]]:
        """Every (numeric address, port) that may be talked to."""
        return frozenset(
            (normal_address(address), endpoint.port)
            for endpoint in self.allow
            for address in (endpoint.addresses or (endpoint.host,))
        )


class Missing(msgspec.Struct, frozen=True):
    """A layer that is not in force, and why."""

    layer: Layer
    reason: str


class Containment(msgspec.Struct, frozen=True):
    """What holds a candidate.

    Attributes:
        layers: in force, in the order in which they were entered.
        missing: not in force, each with its reason.
        limits: what is in force only in part, as sentences.
        inherited: descriptors that were closed, as (number, what it was).
        loading: it imports for itself before it runs anything; another record follows when it has.
    """

    layers: tuple[Layer, ...]
    missing: tuple[Missing, ...] = ()
    limits: tuple[str, ...] = ()
    inherited: tuple[tuple[int, str], ...] = ()
    loading: bool = False

    def lines(self) -> tuple[str, ...]:
        """Each layer that is in force, then each that is missing with its reason, as observations hold them."""
        return (*self.layers, *(f"{entry.layer} missing: {entry.reason}" for entry in self.missing))

    def describe(self) -> str:
        """The same in words, for a start-up log, with a warning where native code is free."""
        lines = [f"contained by: {', '.join(self.layers) or 'nothing'}", *self.lines()[len(self.layers) :]]
        lines += [f"limited: {limit}" for limit in self.limits]
        if not {"seccomp", "landlock"} & set(self.layers):
            lines.append("warning: native code is not contained; audit hooks alone are no sandbox")
        elif "notify" not in self.layers:
            lines.append("warning: what native code tries is refused but not counted")
        return "; ".join(lines)


class RefusedError(PermissionError):
    """An act that the guard refused; raised inside the candidate, which may catch it and go on.

    Not a `ShadowEvalError`: drivers and libraries must see the permission error that they expect of a firewall.
    """

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(
            errno.EPERM,
            f"{refusal.kind} {refusal.detail!r} was refused: this run is a shadow, it may not change anything. "
            f"If it needs this, write {advice(refusal)}; or work inside the scratch folder (tempfile).",
        )


def advice(refusal: Refusal) -> str:
    """The option that would allow what was refused."""
    if refusal.kind in {"socket.connect", "socket.send", "socket.resolve"}:
        unix = refusal.detail.startswith("unix:")
        host = refusal.detail if refusal.kind != "socket.resolve" else f"{refusal.detail}:443"
        return f"Sandbox(unix_sockets=[{refusal.detail[5:]!r}])" if unix else f"Sandbox(allow=[{host!r}])"
    if refusal.kind in {"open.write", "file.change"}:
        place = refusal.detail if refusal.kind == "open.write" else refusal.detail.rpartition(" ")[2]
        place = place if os.path.exists(place) else os.path.dirname(place)  # noqa: PTH110, PTH120 - texts, as above
        return f"Sandbox(writable=[{place!r}])"
    return "stubs for the tool that does it (docs/stubs.md)"


def normal_address(address: str) -> str:
    """One spelling per IP address: `::ffff:1.2.3.4` is `1.2.3.4`; names come back in lower case."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address.lower()
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def resolved(policy: GuardPolicy) -> GuardPolicy:
    """Look up every endpoint that is a name, once, here: the candidate may not ask a name server.

    Raises:
        OSError: a name that can't be resolved.
    """
    return msgspec.structs.replace(policy, allow=tuple(_pinned(endpoint) for endpoint in policy.allow))


def _pinned(endpoint: Endpoint) -> Endpoint:
    entries = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))
    return endpoint if addresses == (endpoint.host,) else msgspec.structs.replace(endpoint, addresses=addresses)


def inside(path: str, roots: Iterable[str]) -> bool:
    """Whether the real path `path` is one of `roots` or lies below it."""
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def real_path(text: str, *, follow: bool) -> str:
    """`text` without symbolic links; the last part is left alone unless `follow`."""
    folder, name = os.path.split(text.rstrip("/"))
    if follow or name in {"", ".", ".."}:
        return os.path.realpath(text)
    return f"{os.path.realpath(folder).rstrip('/')}/{name}"


def spelled(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
