"""A loopback HTTP server that takes what the peers send, and says what they want to hear."""

import json
import sys
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


class Sink(BaseHTTPRequestHandler):
    """Reads everything, keeps nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _chunks(self) -> None:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self) -> None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            self._chunks()
        else:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = _INFO if self.path.endswith("/info") else b"" if "/v1/traces" in self.path else b"{}"
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf" if not body else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_PUT = _answer

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Quiet."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
