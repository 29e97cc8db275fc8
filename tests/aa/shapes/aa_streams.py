"""What callers consume after the return: streams in every wrapping, responses, futures."""

import asyncio
import concurrent.futures
import contextlib
import io
from dataclasses import dataclass
from typing import Any

from aa_rows import call, shape
from starlette.responses import FileResponse, JSONResponse, StreamingResponse

from shadoweval import tool

POOL = concurrent.futures.ThreadPoolExecutor(1)


@tool(effect="read")
def look_up(question):
    return f"found {question}"


def pieces(question):
    yield "because "
    yield look_up(question)


async def awaited_pieces(question):
    yield "because "
    yield look_up(question)


@dataclass(frozen=True)
class Reply:
    text: Any
    cents: int


def drained(response):
    """As a server sends it."""

    async def send_all():
        async def receive():
            await asyncio.Event().wait()

        async def send(message):
            del message

        await (await response if hasattr(response, "__await__") else response)(
            {"type": "http", "asgi": {"spec_version": "2.4"}, "method": "GET", "headers": []}, receive, send
        )

    return send_all()


@shape()
def a_generator(question):
    return pieces(question)


@shape()
def an_async_generator(question):
    return awaited_pieces(question)


@shape()
async def a_generator_of_a_coroutine(question):
    return pieces(question)


@shape()
def a_map(question):
    return map(str.upper, pieces(question))


@shape(uncopyable=True)
def a_zip(question):
    return zip(pieces(question), "ab", strict=True)


class Chunks:
    def __init__(self, question):
        self.left = list(pieces(question))

    def __iter__(self):
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        return self.left.pop(0)


@shape(uncopyable=True)
def an_iterator(question):
    return Chunks(question)


@shape(uncopyable=True)
def a_file(question):
    return io.BytesIO(question.encode())


@shape(uncopyable=True)
@contextlib.contextmanager
def a_context_manager(question):
    yield question


@shape(consume=lambda reply: list(reply["answer"]))
def in_a_mapping(question):
    return {"answer": pieces(question), "sources": ["a"]}


@shape(consume=lambda reply: list(reply[0]))
def in_a_tuple(question):
    return pieces(question), ["a"]


@shape(consume=lambda reply: list(reply.text))
def in_a_record(question):
    return Reply(pieces(question), 5)


@shape(uncopyable=True)
def deep_inside(question):
    return {"choices": [{"delta": [pieces(question)]}]}


@shape(consume=drained)
async def a_response(question):
    return StreamingResponse(awaited_pieces(question))


@shape(consume=drained)
def a_response_of_a_plain_view(question):
    return StreamingResponse(pieces(question), media_type="text/plain")


@shape(consume=drained)
async def a_response_with_events(question):
    events = [f'data: {{"answer": "{piece}"}}\n\n' for piece in pieces(question)]
    return StreamingResponse(iter([*events, "data: [DONE]\n\n"]), media_type="text/event-stream")


@shape(consume=drained)
async def a_response_that_is_there(question):
    return JSONResponse({"answer": look_up(question)})


@shape(consume=drained)
async def a_response_with_a_bad_status(question):
    return JSONResponse({"detail": question}, status_code=503)


@shape(uncopyable=True)
async def a_file_s_response(question):
    del question
    return FileResponse(__file__)


@shape(call("good"), call("bad"), consume=drained)
async def a_response_that_breaks(question):
    def broken():
        yield "because "
        if question == "bad":
            raise RuntimeError("down")

    return StreamingResponse(broken())


@shape()
def a_coroutine(question):
    async def answer():
        return look_up(question)

    return answer()


@shape()
async def a_task(question):
    async def answer():
        return look_up(question)

    return await asyncio.create_task(answer())


@shape(consume=lambda future: (future.result(), POOL.submit(int).result())[0])  # the worker has told of the first
def a_future(question):
    return POOL.submit(len, question)
