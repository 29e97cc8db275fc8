"""A loopback HTTP server that takes what the peers send, says what they want to hear, and counts the calls in it."""

import gzip
import json
import re
import sys
import threading
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_INFO = json.dumps(
    {
        "version": "0.13.0",
        "instance_flags": {"zstd_compression_enabled": True},
        "batch_ingest_config": {
            "use_multipart_endpoint": True,
            "scale_up_qsize_trigger": 1000,
            "scale_up_nthreads_limit": 16,
            "scale_down_nempty_trigger": 4,
            "size_limit": 100,
            "size_limit_bytes": 20_971_520,
        },
    }
).encode()
_MARK = re.compile(rb"MK([0-9a-f]{2})[0-9a-f]{8}")
_lock = threading.Lock()
_bodies: list[tuple[str, bytes]] = []
_seen: set[bytes] = set()


def plain(encoding: str, body: bytes) -> bytes:
    """A body without its compression."""
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    if encoding == "zstd":
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body


def counted() -> dict[str, int]:
    """Calls that were not seen before, by their target's mark; what came is forgotten."""
    with _lock:
        bodies = _bodies[:]
        _bodies.clear()
    found: Counter[str] = Counter()
    for encoding, body in bodies:
        for match in _MARK.finditer(plain(encoding, body)):
            if match[0] not in _seen:
                _seen.add(match[0])
                found[match[1].decode()] += 1
    return dict(found)


class Sink(BaseHTTPRequestHandler):
    """Keeps bodies as they came until somebody asks what was in them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self) -> None:
        body = self._body()
        if body:
            with _lock:
                _bodies.append((self.headers.get("Content-Encoding", "").lower(), body))
        status, kind, answer = 200, "application/json", b"{}"
        if self.path == "/markers":
            answer = json.dumps(counted()).encode()
        elif self.path.endswith("/info"):
            answer = _INFO
        elif "/v1/traces" in self.path:
            kind, answer = "application/x-protobuf", b""
        elif "/opik/" in self.path and self.command != "GET":
            status, answer = 204, b""
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PATCH = do_PUT = _answer

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Quiet."""


class Server(ThreadingHTTPServer):
    """Has nothing to say about clients that hang up."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Quiet."""


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Sink)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
