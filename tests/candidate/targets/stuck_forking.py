"""A candidate whose process can't be forked: a hook waits for a lock that a thread keeps."""

import os
import threading

_lock = threading.Lock()
_taken = threading.Event()


def _refresh():
    with _lock:
        _taken.set()
        threading.Event().wait()


def answers(question):
    return f"answered {question}"


threading.Thread(target=_refresh, daemon=True).start()
_taken.wait()
os.register_at_fork(**{os.environ.get("STUCK_HOOK", "before"): _lock.acquire})
