import contextlib
import datetime as dt
import itertools
import socket
import threading

import msgspec
import pytest
from candidate_rig import call, envelope
from hypothesis import given
from hypothesis import strategies as st

from shadoweval import codec
from shadoweval.candidate.forkserver.wire import (
    MAX_MESSAGE,
    READ_BYTES,
    MessageReader,
    Messages,
    Report,
    Request,
    decode,
    encode,
    outgoing,
    send,
)
from shadoweval.capture import uncopyable
from shadoweval.errors import CandidateError
from shadoweval.testing import make_observation, make_query


def framed(content):
    return len(content).to_bytes(4, "little") + content


@given(messages=st.lists(st.binary(max_size=40), max_size=8), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_frames_are_cut_wherever_the_bytes_were_split(messages, cuts):
    """Whatever the pieces in which they arrive, the same messages come out, in order."""
    stream = b"".join(map(framed, messages))
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    buffer = Messages()

    received = [m for a, b in itertools.pairwise(places) for m in buffer.feed(stream[a:b])]

    assert received == messages


def test_an_absurd_length_is_told_before_anything_is_read():
    """A length over the cap is no message of ours."""
    with pytest.raises(CandidateError, match="the cap is"):
        Messages().feed((MAX_MESSAGE + 1).to_bytes(4, "little"))


@given(st.binary(max_size=60))
def test_garbage_is_an_error_of_ours(content):
    """Bytes that are no report raise CandidateError and nothing else."""
    with contextlib.suppress(CandidateError):
        assert isinstance(decode(content, Report), Report)


def test_values_stay_encoded_and_are_data_when_they_are_read():
    """No class is imported into this process; tuples, sets and dates are there once they are read as data."""
    value = {"pair": (1, 2), "tags": {"a"}, "on": dt.date(2026, 1, 2), "deep": [(dt.time(1), {"x": (1,)})]}
    strange = codec.plain(call("look", {"order": "K-1"}))
    assert isinstance(strange, msgspec.msgpack.Ext)
    calls = [call("look", {"value": codec.plain(value), "object": strange, "within": codec.plain((1, call("x")))})]
    report = Report(7, make_observation(make_query(), calls=calls))

    received = decode(encode(report), Report)

    arguments = received.observation.tool_calls[0].arguments
    assert codec.data_of(arguments["value"]) == value
    assert isinstance(arguments["object"], msgspec.msgpack.Ext)
    assert isinstance(arguments["within"], msgspec.msgpack.Ext)
    assert codec.data_of(arguments["within"])[1][codec.CLASS] == "shadoweval.records.acts.ToolCall"


def test_an_envelope_goes_out_with_what_a_run_needs():
    """Rebuilt values, still encoded ones and uncopyable ones among the recorded calls arrive as what they are."""
    known = [
        call("a", {"on": dt.date(2026, 1, 2)}, (1, {"deep": {2}})),
        call("b", {"x": msgspec.msgpack.Ext(5, msgspec.msgpack.encode(["date", "2026-01-02"]))}, [codec.plain((3,))]),
        call("c", {}, threading.Lock()),
    ]
    received = codec.decode_envelope(outgoing(envelope("hello", calls=known, args=("hello",))))

    assert received.query.text == "hello"
    assert codec.thaw(received.query.inputs) == (("hello",), {})
    assert [c.result for c in received.served.tool_calls[:2]] == [(1, {"deep": {2}}), [(3,)]]
    assert [c.arguments for c in received.served.tool_calls[:2]] == [
        {"on": dt.date(2026, 1, 2)},
        {"x": dt.date(2026, 1, 2)},
    ]
    assert uncopyable(received.served.tool_calls[2].result)


def test_messages_of_megabytes_pass_a_socket():
    """A message larger than the socket's buffers arrives whole; a closed socket is None."""
    ours, theirs = socket.socketpair()
    message = Request(1, b"x" * (5 << 20))
    thread = threading.Thread(target=send, args=(ours, message))
    thread.start()

    reader = MessageReader(theirs)
    received = decode(reader.next(), Request)
    thread.join()
    ours.close()

    assert received == message
    assert reader.next() is None
    theirs.close()


def test_messages_are_read_into_memory_that_is_kept():
    """The C library maps and unmaps memory for a buffer from 128 kB on (mallopt(3)): a third of a request's cost."""
    assert 1 << 14 <= READ_BYTES < 128 << 10


def test_small_messages_are_read_several_at_a_time():
    """What lies in the socket comes with one call, and is given out one after the other."""
    ours, theirs = socket.socketpair()
    for number in range(3):
        send(ours, Request(number, b"x"))
    ours.close()
    reader = MessageReader(theirs)

    numbers = [decode(reader.next(), Request).id]
    theirs.close()  # nothing is read from it any more
    numbers += [decode(reader.next(), Request).id for _ in range(2)]

    assert numbers == [0, 1, 2]
