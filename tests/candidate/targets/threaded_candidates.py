"""A module that starts a thread at import, which takes and frees locks all the time."""

import logging
import threading
import time


def _chatter():
    while True:
        logging.getLogger("chatter").debug("still here")
        time.sleep(0.0005)


threading.Thread(target=_chatter, name="chatter", daemon=True).start()


def answers(question):
    logging.getLogger("chatter").debug("a child")
    return f"{threading.active_count()} thread"
