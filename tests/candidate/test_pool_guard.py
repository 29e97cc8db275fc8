import asyncio
import socket
import sys

import pytest
from candidate_rig import envelope, pool_of

from shadoweval import Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the guard's layers are Linux's")


def guarded(attribute, *texts, allow=(), **settings):
    from shadoweval.candidate.guard import GuardPolicy

    async def run():
        policy = GuardPolicy(scratch="", allow=allow)
        async with pool_of(attribute, module="reaching_candidates", guard=policy, **settings) as pool:
            return [await pool.run(envelope(text), arm="new") for text in texts]

    return asyncio.run(run())


def test_the_layers_in_force_are_on_the_observation():
    """What contains the candidate is told with each run, and a run that keeps quiet has no refusals."""
    first, second = guarded("answers", "hi", "again")

    assert first.outcome.answer == "answered hi"
    assert len(first.containment) >= 2
    assert first.containment == second.containment
    assert first.refusals == second.refusals == ()


def test_a_refused_connection_is_that_run_s():
    """A connection that no policy allows is refused, and told with the run that tried, not with its neighbours."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        before, tried, after = guarded("connects", "nowhere", str(port), "nowhere")

    assert tried.failure.kind == "refused"
    assert [(r.kind, str(port) in r.detail) for r in tried.refusals] == [("socket.connect", True)]
    assert before.refusals == after.refusals == ()


def test_of_many_refusals_fifty_are_told_apart_and_all_are_counted():
    """What is new with each try is counted as others of its kind, and the next run has its own fifty."""
    many, again = guarded("connects_to_many", "80", "80")

    for run in (many, again):
        assert run.outcome.answer == "refused 80"
        assert len(run.refusals) == 51
        assert sum(refusal.count for refusal in run.refusals) == 80
        (others,) = [refusal for refusal in run.refusals if refusal.detail == "and others"]
        assert (others.kind, others.count) == ("socket.connect", 30)


def test_an_allowed_endpoint_is_reached():
    """The declared model endpoint answers as usual."""
    from shadoweval.candidate.guard import Endpoint

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (reached,) = guarded("connects", str(port), allow=(Endpoint("127.0.0.1", port),))

    assert reached.failure is None
    assert reached.outcome.answer == "connected"


def test_writing_is_confined_to_scratch(tmp_path):
    """A file outside is refused, one in the temporary folder is written and gone after the run's process."""
    outside, inside = guarded("writes", str(tmp_path / "mine.txt"), "temporary", scratch=tmp_path)

    assert outside.failure.kind == "refused"
    assert not (tmp_path / "mine.txt").exists()
    assert inside.outcome.answer.startswith(str(tmp_path / "shadoweval-"))
    assert list(tmp_path.iterdir()) == []


def test_limits_hold_under_the_guard():
    """Memory and deadline are kept with the guard in force."""
    limits = Limits(seconds=4.0, start_seconds=10.0, memory_bytes=128 << 20)
    heavy, endless, fine = guarded("misbehaves", "memory", "endless", "fine", limits=limits)

    assert heavy.failure.kind == "out_of_memory"
    assert endless.failure.kind == "timeout"
    assert fine.outcome.answer == "fine"


def test_async_candidates_run_under_the_guard():
    """An event loop, executors and several runs at a time work as without it."""

    async def run():
        from shadoweval.candidate.guard import GuardPolicy

        settings = {"guard": GuardPolicy(scratch=""), "limits": Limits(seconds=5, concurrency=3)}
        async with pool_of("waits", module="reaching_candidates", **settings) as pool:
            return await asyncio.gather(*(pool.run(envelope(f"{n}", number=n), arm="new") for n in range(6)))

    assert [o.outcome.answer for o in asyncio.run(run())] == [str(n) for n in range(6)]


def test_where_the_guard_fails_nothing_runs(tmp_path, monkeypatch):
    """A child that can't be contained runs no candidate code, and says so for each envelope."""
    (tmp_path / "sabotage.py").write_text(
        "from shadoweval.candidate.guard import Guard\n"
        "def narrow(*args, **kwargs): raise OSError('no such layer here')\n"
        "def warm(): Guard.narrow = narrow\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    first, second = guarded("answers", "hi", "again", warm="sabotage:warm")

    for observation in (first, second):
        assert observation.failure.kind == "error"
        assert "nothing was run: the guard could not be put in force: no such layer here" in observation.failure.message


def test_containment_is_known_before_the_first_run():
    """Whoever starts the pool can say at once what holds each arm, and what holds nothing."""
    from shadoweval.candidate.guard import GuardPolicy

    async def described(guard):
        async with pool_of("answers", module="reaching_candidates", guard=guard) as pool:
            remarks = pool.remarks
            return remarks["new"][0], await pool.run(envelope("hi"), arm="new")

    text, observation = asyncio.run(described(GuardPolicy(scratch="")))
    layers, missing = text.removeprefix("contained by: ").split("; ", maxsplit=1)
    assert layers.split(", ") == [layer for layer in observation.containment if " missing: " not in layer]
    assert all(gap in missing for gap in observation.containment if " missing: " in gap)
    assert asyncio.run(described(None))[0] == "no guard: it may do whatever this user may"
