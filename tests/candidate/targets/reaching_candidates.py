"""Candidates that reach out of their process."""

import asyncio
import socket
import tempfile
import time
from pathlib import Path


def answers(question):
    return f"answered {question}"


def connects(question):
    if question == "nowhere":
        return "stayed"
    with socket.create_connection(("127.0.0.1", int(question)), timeout=5):
        return "connected"


def connects_to_many(question):
    """Asks for so many ports, one after the other, whatever becomes of it."""
    refused = 0
    for port in range(1, int(question) + 1):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5)
        except PermissionError:
            refused += 1
    return f"refused {refused}"


def writes(question):
    path = Path(tempfile.gettempdir(), "mine.txt") if question == "temporary" else Path(question)
    path.write_text("mine")
    return str(path)


def misbehaves(question):
    held = []
    while question == "memory":
        held.append(bytearray(8 << 20))
    while question == "endless":
        time.sleep(0.01)
    return "fine"


async def waits(question):
    await asyncio.sleep(0.05)
    return await asyncio.to_thread(str, question)
