"""The guard's records."""

from __future__ import annotations

import errno
import os

import msgspec
import pytest

from shadoweval.candidate.guard import Endpoint, GuardPolicy, RefusedError, resolved
from shadoweval.candidate.guard.policy import Containment, Missing, inside, normal_address
from shadoweval.records import Refusal


@pytest.mark.parametrize(
    ("spelling", "normal"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("Model.Example.ORG", "model.example.org"),
    ],
)
def test_one_spelling_per_address(spelling, normal):
    """An allowed address can't be missed, nor a forbidden one slip through, by being written differently."""
    assert normal_address(spelling) == normal


def test_names_are_looked_up_once_by_the_parent():
    """`resolved` pins the addresses of names and leaves addresses alone."""
    policy = resolved(GuardPolicy(scratch="/tmp", allow=(Endpoint("localhost", 80), Endpoint("10.0.0.1", 81))))
    assert set(policy.allow[0].addresses) & {"127.0.0.1", "::1"}
    assert policy.allow[1] == Endpoint("10.0.0.1", 81)
    assert ("10.0.0.1", 81) in policy.addresses()


def test_policy_travels_as_bytes():
    """A pool sends it to its fork server."""
    policy = GuardPolicy(scratch="/tmp", allow=(Endpoint("::1", 8080),), keep_fds=(3,))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(policy), type=GuardPolicy) == policy


def test_inside_is_no_prefix():
    """/scratch-2 does not lie inside /scratch."""
    assert inside("/scratch/a", ("/scratch",))
    assert inside("/scratch", ("/scratch",))
    assert not inside("/scratch-2/a", ("/scratch",))


def test_refusal_is_a_permission_error():
    """Libraries see the error that a firewall or a read-only disk gives, and the text says how to mend it."""
    error = RefusedError(Refusal(kind="socket.connect", detail="10.0.0.1:5432", layer="audit"))
    assert isinstance(error, PermissionError)
    assert error.errno == errno.EPERM
    assert "'10.0.0.1:5432'" in str(error)
    assert "Sandbox(allow=['10.0.0.1:5432'])" in str(error)


def test_description_warns_where_native_code_is_free():
    """An audit hook alone is called what it is."""
    text = Containment(("audit",), (Missing("seccomp", "no seccomp on darwin arm64"),)).describe()
    assert "seccomp missing: no seccomp on darwin arm64" in text
    assert "no sandbox" in text


def test_scratch_behind_a_link_is_its_target(tmp_path):
    """Paths are compared as real ones (macOS has its temporary folder behind a link)."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert GuardPolicy(scratch=str(tmp_path / "link")).writable_roots() == (os.path.realpath(tmp_path / "real"),)
