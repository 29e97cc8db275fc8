"""What counts as a failure: raising is not always failing, and an experiment has the first word."""

import asyncio

import pytest
from starlette.exceptions import HTTPException

from shadoweval.capture.failures import answered_by, failed_by, failure_of
from shadoweval.capture.outcomes import Chunks, joined
from shadoweval.errors import ToolRefusedError


def raised_by(package, *names, **facts):
    """An exception of a framework that is not installed here: known by package and name."""
    base = Exception
    for name in names:
        base = type(name, (base,), {"__module__": f"{package}.exceptions", "__qualname__": name})
    error = base("why")
    vars(error).update(facts)
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("x"), "error"),
        (TimeoutError(), "timeout"),
        (MemoryError(), "out_of_memory"),
        (ToolRefusedError("t", "write"), "refused"),
        (asyncio.CancelledError(), "aborted"),
        (GeneratorExit(), "aborted"),
        (StopIteration(), "aborted"),
        (raised_by("celery", "TaskPredicate", "Retry"), "aborted"),
        (raised_by("langgraph", "GraphBubbleUp", "GraphInterrupt"), "aborted"),
        (raised_by("langgraph", "GraphBubbleUp", "ParentCommand"), "aborted"),
        (raised_by("streamlit", "StopException"), "aborted"),
        (raised_by("mine", "Retry"), "error"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_steers_a_caller_is_no_failure(error, kind):
    """Retries, interrupts and callers that went away say nothing about the pipeline."""
    assert failure_of(error).kind == kind


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (HTTPException(404, "no such order"), 404),
        (HTTPException(503, "down"), None),
        (raised_by("django", "Http404"), 404),
        (raised_by("werkzeug", "HTTPException", "NotFound", code=404, description="gone"), 404),
        (raised_by("werkzeug", "HTTPException", "BadGateway", code=502), None),
        (raised_by("rest_framework", "APIException", status_code=429), 429),
        (LookupError("x"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_view_that_raises_its_frameworks_404_has_answered(error, status):
    """As an app that sends one; from 500 on it failed."""
    answer = answered_by(error, None)
    assert (answer and answer["status"]) == status


def test_an_experiment_has_the_first_word():
    """True or a message: a failure; False: none; None: as usual."""
    assert answered_by(LookupError("gone"), lambda _: False) == {"raised": "LookupError", "answer": "gone"}
    assert answered_by(HTTPException(404), lambda _: True) is None
    assert answered_by(HTTPException(404), lambda _: None)["status"] == 404
    assert str(failed_by("sorry", lambda text: "it says sorry" if "sorry" in text else None)) == "it says sorry"
    assert failed_by("fine", lambda text: "sorry" in text) is None
    assert failed_by("fine", None) is None


STREAMS = {
    "pieces": (["Hel", "lo ", "you"], "Hello you"),
    "replacing": (["Hel", "Hello ", "Hello you"], "Hello you"),
    "replacing, twice": (["Hello", "Hello you"], "Hello you"),
    "replacing, from nothing": (["", "Hel", "Hello", "Hello"], "Hello"),
    "pieces that begin alike": (["a", "and"], "aand"),
    "pieces that are equal": (["ha", "ha", "ha"], "hahaha"),
    "one": (["Hello"], "Hello"),
    "mappings": ([{"answer": "Hel"}, {"answer": "Hello "}, {"answer": "Hello you"}], "Hello you"),
    "none": ([], ""),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_chunks_that_each_replace_the_one_before_are_not_joined(kind):
    """Served and in a shadow alike."""
    chunks, answer = STREAMS[kind]
    served = Chunks(1_000)
    for chunk in chunks:
        served.add(chunk)
    assert (served.joined()[0], joined(chunks)[0]) == (answer, answer)


def test_a_replacing_stream_needs_no_more_room_than_its_answer():
    """500 chunks of an answer of 2,000 characters are 500,000, of which the last is kept."""
    answer = "x" * 2_000
    chunks = Chunks(10_000)
    for end in range(4, 2_001, 4):
        chunks.add(answer[:end])
    assert chunks.joined() == (answer, None)
    assert (chunks.truncated, chunks.count) == (False, 500)
