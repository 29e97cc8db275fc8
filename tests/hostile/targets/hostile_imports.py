"""A candidate whose module acts when it is imported, survives what it is refused, and answers as it should."""

import contextlib
import os
import socket
import subprocess
import threading
import time

SHADOW = "SHADOWEVAL_SHADOW" in os.environ


def act():
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    with contextlib.suppress(OSError):
        subprocess.run(["touch", "/var/tmp/landed"], check=False)
    with contextlib.suppress(OSError), open("/var/tmp/landed", "w") as file:  # noqa: PTH123 - the same
        file.write("x")


def job():
    while True:
        act()
        time.sleep(0.05)


def start():
    threading.Thread(target=job, daemon=True).start()


if SHADOW:
    act()
    start()
    os.register_at_fork(after_in_child=start)


def answer(question):
    return f"answer to {question}"
