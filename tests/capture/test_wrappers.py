"""Steps that concern nobody are passed on at once; as soon as they concern somebody, they are noted again."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shadoweval import capture
from shadoweval.capture import step, tool
from shadoweval.capture.interception import set_interceptor
from shadoweval.mirror import Mirror
from shadoweval.protocols import StubAnswer
from shadoweval.testing import MemoryTransport

ROOT = Path(__file__).parents[2]
PROGRAM = """
from shadoweval import capture
from shadoweval.capture.interception import installed
from shadoweval.mirror import Mirror
from shadoweval.testing import MemoryTransport
unsampled = Mirror("x", MemoryTransport(), sample=0.0)(lambda question: question)
print(bool(installed.watching))
with capture.recording(capture.Recorder()):
    unsampled("q")
    print(bool(installed.watching))
unsampled("q")
print(bool(installed.watching))
mirrored = Mirror("x", MemoryTransport(), control=0.0)(lambda question: installed.watching > 0)
print(mirrored("q"))
print(bool(installed.watching))
"""


@step("model", name="think")
def think(question):
    return question


@tool(effect="read", name="look")
async def look(question):
    return question


@pytest.fixture
def unsampled():
    """A call that is not mirrored, which sees to it that steps rest."""
    mirror = Mirror("x", MemoryTransport(), sample=0.0)
    yield mirror(think)
    mirror.close()


def noted():
    """What a recording has of one step and one tool."""
    recorder = capture.Recorder()
    with capture.recording(recorder):
        think("a")
        asyncio.run(look("b"))
    parts = recorder.parts()
    return [one.name for one in parts.steps], [one.name for one in parts.tool_calls]


def test_a_recording_after_calls_that_were_not_mirrored_has_everything(unsampled):
    """Again and again: each sampled call is one among many that are not."""
    for _ in range(3):
        unsampled("q")
        assert noted() == (["think", "look"], ["look"])


def test_a_call_that_is_not_mirrored_takes_nothing_from_one_that_is(unsampled):
    """Another thread's call in the middle of a recording; one that the run started would be a part of it."""
    recorder = capture.Recorder()
    begun = threading.Event()
    other = threading.Thread(target=lambda: begun.wait(60) and unsampled("q"))
    other.start()
    with capture.recording(recorder):
        begun.set()
        other.join()
        think("a")
    assert [one.name for one in recorder.parts().steps] == ["think"]


def test_an_interceptor_answers_after_calls_that_were_not_mirrored(unsampled):
    """In a shadow no tool is called for real, whatever happened in its process before."""

    class Refusing:
        def answer(self, name, arguments, *, effect, live):
            return StubAnswer(answered="replayed", result="stub")

    unsampled("q")
    before = set_interceptor(Refusing())
    try:
        unsampled("q")
        assert asyncio.run(look("b")) == "stub"
    finally:
        set_interceptor(before)


def test_steps_rest_while_nothing_is_recorded():
    """And not before the last recording is over; in a process of its own, since other tests leave streams open."""
    shown = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "True", "False", "True", "False"]
