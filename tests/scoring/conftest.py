import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ORACLE = Path(__file__).parent / "oracles/trec_eval.py"
SECONDS_A_QUESTION = 60
TRIES = 5


class TrecEval:
    """Asks `oracles/trec_eval.py`; a process that crashes or hangs is replaced and asked again."""

    def __init__(self):
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, ORACLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def stop(self):
        if self.process:
            self.process.kill()
            _, self.last_words = self.process.communicate()
            self.process = None

    def answer(self, line):
        """The process's answer; empty when it is gone or was too slow."""
        if self.process is None:
            self.start()
        timer = threading.Timer(SECONDS_A_QUESTION, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
            return self.process.stdout.readline()
        except BrokenPipeError:
            return ""
        finally:
            timer.cancel()

    def __call__(self, **question):
        line = json.dumps(question) + "\n"
        for _ in range(TRIES):
            answer = self.answer(line)
            if answer.endswith("\n"):
                return json.loads(answer)
            self.stop()
        raise AssertionError(f"trec_eval ended {TRIES} times without an answer to {line}: {self.last_words[-500:]}")


@pytest.fixture(scope="module")
def trec_eval():
    oracle = TrecEval()
    yield oracle
    oracle.stop()


@pytest.fixture(scope="session")
def grows():
    """By how much longer `function` takes for an eight times larger argument: CPU of this thread, the best of three."""

    def seconds(function, argument):
        took = []
        for _ in range(3):
            began = time.thread_time()
            function(argument)
            took.append(time.thread_time() - began)
        return min(took)

    return lambda function, small, large: seconds(function, large) / max(seconds(function, small), 0.02)
