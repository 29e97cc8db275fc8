"""A server on the loopback that speaks as much of OpenAI's API as the apps use.

It echoes, counts words as tokens, asks for the first tool that it is offered when a person speaks last, and fails when
it is told to.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def _words(value):
    return len(json.dumps(value).split())


class FakeOpenAI(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen = []
        self.faults = []  # HTTP statuses for the next requests
        self.answers = []  # whole answers for the next requests, a list of events for a streamed one
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def stop(self):
        self.shutdown()
        self.server_close()
        self.thread.join(10)

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Say nothing."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append((self.path, body))
        if self.server.faults:
            status = self.server.faults.pop(0)
            self._json({"error": {"message": f"injected {status}", "type": "x", "code": None, "param": None}}, status)
        elif self.server.answers:
            answer = self.server.answers.pop(0)
            self._events([*answer, "[DONE]"]) if isinstance(answer, list) else self._json(answer)
        elif self.path.endswith("/chat/completions"):
            self._chat(body)
        elif self.path.endswith("/responses"):
            self._responses(body)
        else:
            self._embeddings(body)

    def _json(self, value, status=200):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("connection", "close")  # no client keeps a connection longer than the loop that opened it
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def _events(self, events):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode())
            self.wfile.flush()
        self.close_connection = True

    def _chat(self, body):
        last = body["messages"][-1]
        base = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        text = f"echo: {last['content']}"
        calls = []
        if body.get("tools") and last["role"] == "user":
            function = body["tools"][0]["function"]
            name = next(iter(function["parameters"]["properties"]))
            arguments = json.dumps({name: last["content"]})
            calls = [
                {"id": "call_1", "type": "function", "function": {"name": function["name"], "arguments": arguments}}
            ]
        usage = {"prompt_tokens": _words(body["messages"]), "completion_tokens": len(text.split())}
        usage["total_tokens"] = sum(usage.values())
        if not body.get("stream"):
            message = {"role": "assistant", "content": None if calls else text}
            if calls:
                message["tool_calls"] = calls
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
            self._json({**base, "object": "chat.completion", "choices": [choice], "usage": usage})
            return

        def chunk(delta, finish=None):
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return {**base, "object": "chat.completion.chunk", "choices": [choice]}

        deltas = [{"content": word} for word in _pieces(text)]
        if calls:
            deltas = [{"tool_calls": [{**call, "index": at} for at, call in enumerate(calls)]}]
        events = [chunk({"role": "assistant"}), *map(chunk, deltas), chunk({}, "tool_calls" if calls else "stop")]
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append({**base, "object": "chat.completion.chunk", "choices": [], "usage": usage})
        self._events([*events, "[DONE]"])

    def _responses(self, body):
        asked = body["input"] if isinstance(body["input"], str) else body["input"][-1]
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
        text = f"echo: {asked if isinstance(asked, str) else asked.get('output') or asked.get('content')}"
        item["content"] = [{"type": "output_text", "text": text, "annotations": []}]
        if body.get("tools") and isinstance(body["input"], str):
            item = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "status": "completed"}
            item |= {"name": body["tools"][0]["name"], "arguments": json.dumps({"query": asked})}
        details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
        response = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": body["model"],
            "status": "completed",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "output": [item],
            "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7, **details},
        }
        if not body.get("stream"):
            self._json(response)
            return
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
        deltas = [{"type": "response.output_text.delta", "delta": piece, **place} for piece in _pieces(text)]
        events = [*deltas, {"type": "response.completed", "response": response}]
        self._events([{**event, "sequence_number": at} for at, event in enumerate(events)])

    def _embeddings(self, body):
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        rows = [{"object": "embedding", "index": at, "embedding": [float(len(text))]} for at, text in enumerate(texts)]
        usage = {"prompt_tokens": 4, "total_tokens": 4}
        self._json({"object": "list", "model": body["model"], "data": rows, "usage": usage})


def _pieces(text):
    words = text.split(" ")
    return [word if at == 0 else f" {word}" for at, word in enumerate(words)]
