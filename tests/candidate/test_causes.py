"""Whose failure it is, told from the exception that ended the run."""

import asyncio
import errno
import os
import urllib.error

import pytest

from shadoweval.candidate.causes import Cause, blamed, cause_of, unproven, with_refusals
from shadoweval.candidate.guard import RefusedError
from shadoweval.errors import ToolRefusedError
from shadoweval.records import INCUMBENT, Failure, Refusal
from shadoweval.testing import make_observation, make_query

MAIL = ToolRefusedError("send_mail", "write")
CONNECT = RefusedError(Refusal(kind="socket.connect", detail="10.0.0.1:443", layer="audit"))


def raised(function):
    """The exception of a function."""
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError


def from_cause():
    raise RuntimeError("no mail") from MAIL


def within_handler():
    try:
        raise MAIL
    except ToolRefusedError:
        raise RuntimeError("no mail") from None


def as_reason():
    raise urllib.error.URLError(CONNECT)


def in_group():
    async def run():
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())

    async def fails():
        raise MAIL

    asyncio.run(run())


def as_argument():
    raise OSError("all attempts failed", MAIL)


def circular():
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    raise first


@pytest.mark.parametrize("way", [from_cause, within_handler, in_group, as_argument])
def test_a_refused_tool_is_found_behind_what_was_raised(way):
    """However a library wraps it."""
    cause = cause_of(raised(way))

    assert cause.what == "the tool 'send_mail' was refused"
    assert cause.mend == "Sandbox(stubs=Stubs({'send_mail': a_function_that_stands_in_for_it}))"


def test_a_refused_connection_is_found_and_names_the_line():
    """The endpoint as `allow` takes it."""
    cause = cause_of(raised(as_reason))

    assert cause.what == "the guard refused a connection to '10.0.0.1:443'"
    assert cause.mend.startswith("Sandbox(allow=['10.0.0.1:443'])")


@pytest.mark.parametrize("way", [circular, lambda: {}["total"], lambda: exec("raise SystemExit(3)")])
def test_an_error_of_its_own_has_no_cause(way):
    """Nor does a chain that goes in circles hang."""
    assert cause_of(raised(way)) is None


@pytest.mark.parametrize(
    ("kind", "detail", "what", "mend"),
    [
        ("socket.send", "10.0.0.2:53", "connection to '10.0.0.2:53'", "allow=['10.0.0.2:53']"),
        ("socket.connect", "unix:/run/x.sock", "the socket '/run/x.sock'", "unix:/run/x.sock"),
        ("socket.resolve", "api.example", "look up 'api.example'", "allow=['api.example:PORT']"),
        ("open.write", "/srv/data/a.txt", "write in '/srv/data'", "gettempdir()"),
        ("file.change", "rename /srv/a /srv/b", "write in '/srv'", "gettempdir()"),
        ("process", "os.system true", "refused process", "stub the tool"),
    ],
)
def test_each_refusal_of_the_guard_names_act_and_line(kind, detail, what, mend):
    """Alike for alike refusals, so that they are counted together."""
    cause = cause_of(RefusedError(Refusal(kind=kind, detail=detail)))

    assert what in cause.what
    assert mend in cause.mend


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EPERM, os.strerror(errno.EPERM)),
        RuntimeError(f"connection failed: {os.strerror(errno.EPERM)}"),
        RuntimeError(f"all channels failed: ['{MAIL}']"),
    ],
)
def test_what_only_its_text_tells_is_settled_by_what_was_refused(error):
    """Native libraries raise errors of their own; without any refusal in the run it is the candidate's."""
    failure = blamed(Failure(kind="error"), cause_of(error))
    refused = with_refusals(failure, [Refusal(kind="socket.connect", detail="10.0.0.1:5432", layer="notify")])

    assert unproven(failure)
    assert (refused.owner, refused.kind) == ("shadow", "refused")
    assert with_refusals(failure, []) == Failure(kind="error")


@pytest.mark.parametrize(
    ("failure", "arm", "place", "owner"),
    [
        (Failure(kind="aborted"), INCUMBENT, "served", "caller"),
        (Failure(kind="error"), INCUMBENT, "served", "incumbent"),
        (Failure(kind="timeout"), INCUMBENT, "shadow", "incumbent"),
        (Failure(kind="timeout"), "new", "shadow", "candidate"),
        (Failure(kind="out_of_memory"), "new", "shadow", "candidate"),
        (Failure(kind="killed"), "new", "shadow", "shadow"),
        (Failure(kind="refused"), "new", "shadow", "shadow"),
        (blamed(Failure(kind="crash"), Cause("a kill")), "new", "shadow", "shadow"),
        (blamed(Failure(kind="error"), Cause("a rate limit")), INCUMBENT, "served", "shadow"),
        (None, "new", "shadow", None),
    ],
)
def test_every_failure_has_one_owner(failure, arm, place, owner):
    """As the record says, or as kind and arm do."""
    observation = make_observation(make_query(), arm, failure=failure, place=place)

    assert observation.owner == owner
    assert bool(observation.unscored) == (owner in {"caller", "shadow"})
