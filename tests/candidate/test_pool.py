import asyncio
import os
import time
from pathlib import Path

import pytest
from candidate_rig import FOLDER, call, envelope, pool_of, run_one

from shadoweval import Limits, Stubs
from shadoweval.candidate.pool import CandidatePool
from shadoweval.errors import ExperimentError, TargetError, UnknownCandidateError
from tests.waiting import until

MODULE = "plain_candidates"


@pytest.mark.parametrize(
    ("target", "answer", "chunks"),
    [
        ("answer", "plain hi", None),
        ("answer_async", "async hi", None),
        ("answer_stream", "one hi", 2),
        ("answer_stream_async", "async hi", 2),
        ("bot", "bot hi", None),
        ("bot.ask", "bot was asked hi", None),
        ("async_bot", "async bot hi", None),
    ],
)
def test_every_shape_of_candidate_runs(target, answer, chunks):
    """Functions, coroutines, generators, async generators, callable objects and bound methods are run alike."""
    observation = run_one(target, envelope("hi"))

    assert observation.outcome.answer == answer
    assert observation.outcome.chunks == chunks
    assert (observation.first_chunk is not None) == (chunks is not None)
    assert observation.first_chunk is None or observation.first_chunk < observation.duration - 0.01
    assert (observation.arm, observation.place, observation.query_id) == ("new", "shadow", "q-1")


def test_an_observation_says_what_the_run_did():
    """Hits, steps, tokens, cost, CPU, memory, versions and values are those of the run."""
    observation = run_one("rag")

    assert [hit.id for hit in observation.hits] == ["d1", "d2"]
    assert observation.outcome.answer == "2 found"
    assert observation.outcome.value == {"answer": "2 found", "pair": [1, 2], "tags": ["a"]}
    assert {step.kind for step in observation.steps} == {"retrieval", "model"}
    usage = observation.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cost_usd) == (100, 20, 0.01)
    assert 0 < usage.cpu_seconds < 5
    assert 5_000_000 < usage.peak_memory < 500_000_000
    assert observation.versions["prompt"] == "7"
    assert observation.versions["target"] == f"{MODULE}:rag"
    assert len(observation.versions["code"]) == 12


def test_a_failure_names_the_first_step_that_failed():
    """What raised, what it said, and in which step; the steps before it stay on the observation."""
    observation = run_one("failing")

    assert observation.failure.kind == "error"
    assert observation.failure.error_type == "LookupError"
    assert observation.failure.message == "nothing there"
    assert observation.failure.step == "second_step"
    assert observation.duration >= 0.02


def test_inputs_are_what_the_incumbent_got():
    """Positional and keyword arguments arrive as the snapshot holds them; without one the query's text does."""
    given = run_one("arguments", envelope(args=("a", (1, 2)), kwargs={"k": {"x"}}))
    bare = envelope("just text")
    bare = type(bare)(experiment=bare.experiment, query=_without_inputs(bare.query), served=bare.served)

    assert given.outcome.answer == "('a', (1, 2)) {'k': {'x'}}"
    assert run_one("arguments", bare).outcome.answer == "('just text',) {}"


def _without_inputs(query):
    return type(query)(id=query.id, text=query.text, asked_at=query.asked_at)


def test_the_warm_hook_runs_once_in_the_fork_server():
    """It runs once, before the children are forked, in a process that says it is a shadow."""
    assert run_one("warmed", warm=f"{MODULE}:warm").outcome.answer == "1 True 1"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("plain_candidates:anwser", "Did you mean 'answer'?"),
        ("plain_candidate:answer", "Did you mean 'plain_candidates'?"),
        ("plain_candidates", "no module and attribute"),
        ("plain_candidates:NOT_CALLABLE", "a int can't be called"),
        ("plain_candidates:Bot", "it is a class"),
        ("broken_candidates:answer", "ZeroDivisionError"),
        ("missing_import:answer", "'no_such_library', which is not installed"),
        ("dying_candidates:answer", "exit status 9"),
    ],
)
def test_an_unusable_target_is_told_at_the_start(target, words, tmp_path, monkeypatch):
    """Before any envelope is taken: what is wrong, why, and how to mend it."""
    (tmp_path / "broken_candidates.py").write_text("1 / 0\n")
    (tmp_path / "missing_import.py").write_text("import no_such_library\n")
    (tmp_path / "dying_candidates.py").write_text("import os\nos._exit(9)\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    async def enter():
        async with CandidatePool({"new": target}):
            raise AssertionError("it started")

    with pytest.raises(TargetError, match=r"Can't use") as caught:
        asyncio.run(enter())

    assert words in str(caught.value)
    assert caught.value.target == target


def test_a_failing_warm_hook_is_told_at_the_start():
    """A hook that raises is named, with what it raised."""
    with pytest.raises(TargetError, match=r"cold.*no index here"):
        run_one("answer", warm=f"{MODULE}:cold")


@pytest.mark.parametrize(
    ("incumbent", "candidate", "fits"),
    [("two", "two_renamed", True), ("two", "three", False), ("two", "answer", False), ("two", "arguments", True)],
)
def test_signatures_are_compared_at_the_start(incumbent, candidate, fits):
    """A candidate that can't be called as the incumbent is, by position or by name, does not start."""

    async def enter():
        targets = {"incumbent": f"{MODULE}:{incumbent}", "new": f"{MODULE}:{candidate}"}
        async with CandidatePool(targets):
            return True

    if fits:
        assert asyncio.run(enter())
    else:
        with pytest.raises(TargetError, match="the incumbent is called with"):
            asyncio.run(enter())


def test_the_incumbent_is_run_by_the_query_s_entry():
    """No target is needed; an entry that can't be imported is an error of that run and of no other."""

    async def run():
        async with pool_of("answer") as pool:
            good = await pool.run(envelope("hi", entry=f"{MODULE}:answer_async"), arm="incumbent")
            bad = await pool.run(envelope("hi", entry="no_such_module:answer"), arm="incumbent")
            return good, bad, await pool.run(envelope("hi"), arm="new")

    good, bad, after = asyncio.run(run())

    assert (good.arm, good.place, good.outcome.answer) == ("incumbent", "shadow", "async hi")
    assert (bad.failure.kind, bad.failure.error_type) == ("error", "TargetError")
    assert after.outcome.answer == "plain hi"


def test_an_unknown_arm_is_a_mistake_of_the_caller():
    """It raises, with the arms that there are."""

    async def run():
        async with pool_of("answer") as pool:
            await pool.run(envelope(), arm="old")

    with pytest.raises(UnknownCandidateError, match="'new'"):
        asyncio.run(run())


def test_a_child_is_reused_and_an_attempt_runs_alone():
    """Clean runs share a process; a second attempt gets one of its own."""

    async def run():
        async with pool_of("process") as pool:
            pids = [(await pool.run(envelope(), arm="new")).outcome.answer for _ in range(3)]
            return pids, (await pool.run(envelope(), arm="new", attempt=2)).outcome.answer

    pids, alone = asyncio.run(run())

    assert len(set(pids)) == 1
    assert alone not in pids


def test_the_budget_ends_a_run():
    """A run that has used more tokens or dollars than it may is stopped in mid-run, with what it did until then."""
    by_tokens = run_one("spender", limits=Limits(tokens=1200))
    by_usd = run_one("spender", limits=Limits(usd=2.0))

    assert (by_tokens.failure.kind, by_usd.failure.kind) == ("budget", "budget")
    assert by_tokens.usage.input_tokens + by_tokens.usage.output_tokens == 1500
    assert by_usd.usage.cost_usd == 2.5
    assert by_tokens.duration < 5


def test_prices_make_dollars_of_tokens():
    """A provider says tokens only: the model's own price counts, for its dated versions too, and budgets hold."""
    prices = {"large": (1.0, 1.0), "large-model": (1000.0, 2000.0), "other": (9.0, 9.0)}
    by_usd = run_one("unpriced", limits=Limits(usd=2.0, prices=prices))
    by_price = run_one("spender", limits=Limits(usd=2.0, prices=prices))

    assert (by_usd.failure.kind, by_price.failure.kind) == ("budget", "budget")
    assert by_usd.usage.cost_usd == pytest.approx(2.4)  # 0.4 + 0.2 a call
    assert {step.cost_usd for step in by_price.steps} == {0.5}  # what the call itself says goes first
    assert Limits(prices=prices).cost("unknown", 1, 1) is None
    assert Limits(prices=prices).cost("large-model", None, None) is None
    assert Limits(prices=prices).cost("large-model-2024-07-18", 1_000_000, 0) == 1000.0
    assert Limits(prices=prices).cost("large-0613", 1_000_000, 0) == 1.0
    assert Limits(prices=prices).cost("large-mini-2024-07-18", 1_000_000, 0) is None  # another model
    assert Limits(prices=prices).cost("large-mini", 1_000_000, 0) is None


def test_a_timeout_keeps_the_steps_that_were_made():
    """A run that is over its deadline is told with its steps, tokens and duration until then."""
    observation = run_one("spender", seconds=2)

    assert observation.failure.kind == "timeout"
    assert observation.duration > 1.9
    assert len(observation.steps) > 3
    assert observation.usage.input_tokens == 400 * len(observation.steps)


def test_async_candidates_share_a_child():
    """Several envelopes run in one process at a time; the overdue one costs no other."""
    texts = ["a", "hang", "b", "c"]

    async def run():
        async with pool_of("slow_or_not", limits=Limits(seconds=3, start_seconds=10, grace=20, concurrency=4)) as pool:
            began = time.monotonic()
            observations = await asyncio.gather(
                *(pool.run(envelope(text, number=n), arm="new") for n, text in enumerate(texts))
            )
            again = await pool.run(envelope("a"), arm="new")
            return observations, again, time.monotonic() - began, pool.capacity

    observations, again, took, capacity = asyncio.run(run())

    answers = [o.outcome.answer.split() for o in observations if o.outcome]
    assert [answer[0] for answer in answers] == ["a", "b", "c"]
    assert {answer[2] for answer in answers} == {again.outcome.answer.split()[2]}
    assert observations[1].failure.kind == "timeout"
    assert took < 60
    assert capacity == 4 + 1  # and one for the incumbent, which is not started yet


def test_cancel_kills_what_is_in_flight_at_once():
    """Runs in flight and runs that wait end as killed, long before they would have ended, and the pool goes on."""

    async def run():
        async with pool_of("sleeps", module="faulty_candidates", seconds=600) as pool:
            runs = [asyncio.create_task(pool.run(envelope("600", number=n), arm="new")) for n in range(5)]
            await asyncio.sleep(0.3)
            began = time.monotonic()
            await pool.cancel()
            killed = await asyncio.gather(*runs)
            took = time.monotonic() - began
            return killed, took, await pool.run(envelope("0"), arm="new")

    killed, took, after = asyncio.run(run())

    assert {observation.failure.kind for observation in killed} == {"killed"}
    assert took < 60
    assert after.outcome.answer == "slept"


def test_cancelling_one_arm_leaves_the_others():
    """Only the named arm's runs end."""

    async def run():
        targets = {"a": "faulty_candidates:sleeps", "b": "faulty_candidates:sleeps"}
        async with CandidatePool(targets) as pool:
            runs = [
                asyncio.create_task(pool.run(envelope(text), arm=arm)) for arm, text in (("a", "600"), ("b", "0.6"))
            ]
            await asyncio.sleep(0.2)
            await pool.cancel("a")
            return await asyncio.gather(*runs)

    killed, finished = asyncio.run(run())

    assert killed.failure.kind == "killed"
    assert finished.outcome.answer == "slept"


def test_a_cancelled_task_frees_its_child():
    """When the caller is cancelled, its run is killed and the next one does not wait for it."""

    async def run():
        async with pool_of("sleeps", module="faulty_candidates", seconds=600) as pool:
            task = asyncio.create_task(pool.run(envelope("600"), arm="new"))
            await asyncio.sleep(0.2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return await asyncio.wait_for(pool.run(envelope("0"), arm="new"), 120)

    assert asyncio.run(run()).outcome.answer == "slept"


def test_a_rate_limit_slows_the_arm_and_the_run_is_made_again(tmp_path):
    """A 429 behind a failure halves the arm's runs, waits as the server says, and costs no envelope."""
    flag = tmp_path / "limited"
    flag.touch()

    async def run():
        async with pool_of("limited", processes=4) as pool:
            began = time.monotonic()
            observation = await pool.run(envelope(str(flag)), arm="new")
            took = time.monotonic() - began
            throttle = pool._runners["new", f"{MODULE}:limited"].throttle
            return observation, took, throttle.allowed, pool.throttles

    observation, took, allowed, throttles = asyncio.run(run())

    assert observation.outcome.answer == "answered"
    assert took >= 0.3
    assert 2 <= allowed < 4
    assert throttles == {"new": 1}


def test_a_rate_limit_that_the_candidate_dealt_with_slows_it_too():
    """A 429 in a step after which it went on halves the arm's runs; the run counts, and is not made again."""

    async def run():
        async with pool_of("limited_and_went_on", processes=4) as pool:
            observation = await pool.run(envelope(), arm="new")
            (runner,) = pool._runners.values()
            return observation, runner.throttle.allowed, pool.throttles

    observation, allowed, throttles = asyncio.run(run())

    assert observation.outcome.answer == "a smaller model answered"
    assert allowed == 2
    assert throttles == {"new": 1}


def test_a_lasting_rate_limit_is_an_error():
    """After three tries it is reported as what it is."""

    async def run():
        async with pool_of("always_limited") as pool:
            pool._runners["new", f"{MODULE}:always_limited"].throttle._next_pause = 0.01
            return await pool.run(envelope(), arm="new"), pool.throttles

    observation, throttles = asyncio.run(run())

    assert (observation.failure.kind, observation.failure.error_type) == ("error", "RateLimitError")
    assert throttles["new"] == 3


def test_nothing_is_left_behind(tmp_path):
    """After the pool is closed there is no process, no folder and no descriptor of it."""

    async def run():
        async with pool_of("process", scratch=tmp_path, processes=2) as pool:
            answers = await asyncio.gather(*(pool.run(envelope(), arm="new") for _ in range(4)))
            assert list(tmp_path.iterdir())
            return {int(observation.outcome.answer) for observation in answers}

    before = len(list(Path("/proc/self/fd").iterdir()))
    pids = asyncio.run(run())

    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert not list(tmp_path.iterdir())
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_end_of_a_pool_is_no_news(caplog):
    """A pool that is closed as it should be gives up no process, and warns of nothing."""

    async def run():
        async with pool_of("process") as pool:
            await pool.run(envelope(), arm="new")
        return pool.conduct

    assert asyncio.run(run()).get("new", ()) == ()
    assert caplog.records == []


def test_stubs_that_cannot_travel_are_told_at_once():
    """A lambda can't be imported by the candidate's process, so the pool is not made."""
    with pytest.raises(ExperimentError, match="no lambdas"):
        CandidatePool({"new": f"{MODULE}:answer"}, stubs=Stubs({"refund": lambda order: order}))


def test_targets_are_found_where_this_process_finds_them():
    """The fork server has this process's import path, wherever it is started."""
    assert FOLDER.is_dir()
    here = Path.cwd()
    os.chdir("/")
    try:
        assert run_one("answer").outcome.answer.startswith("plain")
    finally:
        os.chdir(here)


def test_a_record_that_cannot_be_rebuilt_there_stops_nothing():
    """A recorded result of a class that the candidate's process does not have is no matter to who does not ask."""
    import msgspec
    from candidate_rig import call

    strange = msgspec.msgpack.Ext(4, msgspec.msgpack.encode(["no_such_module:Thing", {}]))

    async def run():
        async with pool_of("process") as pool:
            first = await pool.run(envelope(), arm="new")
            odd = await pool.run(envelope(calls=[call("look", {}, strange)]), arm="new")
            return first, odd, await pool.run(envelope(), arm="new")

    first, odd, after = asyncio.run(run())

    assert odd.failure is None
    assert odd.query_id == "q-1"
    assert first.outcome.answer == odd.outcome.answer == after.outcome.answer


def test_what_a_pool_saw_before_answers_no_tool():
    """A write that one query's record shows is refused in the next, in whose record it is not, as in the one before."""
    shown = envelope(calls=[call("refund", {"order": "K-7"}, {"receipt_id": "R-7", "by": "ada"}, effect="write")])

    async def run():
        async with pool_of("use_tools") as pool:
            return [await pool.run(given, arm="new") for given in (envelope(), shown, envelope())]

    before, _, after = asyncio.run(run())
    how = [[c.answered for c in o.tool_calls if c.name == "refund"] for o in (before, after)]

    assert how == [["refused"] * 2, ["refused"] * 2]
    assert "ada" not in str(after.tool_calls)


def test_candidates_have_settings_of_their_own(monkeypatch):
    """SHADOWEVAL_CANDIDATE_X takes the place of X in a candidate's process; an empty one takes X away."""
    monkeypatch.setenv("MODEL_KEY", "production's")
    monkeypatch.setenv("SHADOWEVAL_CANDIDATE_MODEL_KEY", "the candidate's")
    monkeypatch.setenv("DATABASE_PASSWORD", "production's")
    monkeypatch.setenv("SHADOWEVAL_CANDIDATE_DATABASE_PASSWORD", "")

    assert run_one("settings").outcome.answer == "the candidate's None None None None None"


def test_candidates_are_not_told_where_the_store_is(monkeypatch):
    """Neither its URL, with a password, nor the addresses of alerts is in a candidate's environment."""
    monkeypatch.setenv("SHADOWEVAL_STORE", "postgresql://ada:secret@db/shadow")
    monkeypatch.setenv("SHADOWEVAL_WEBHOOK", "https://chat.example/hooks/secret")
    monkeypatch.setenv("SHADOWEVAL_WEBHOOK_SECRET", "whsec_c2VjcmV0")

    assert run_one("settings").outcome.answer == "None None None None None None"


def test_a_duration_that_the_pool_did_not_see_is_not_believed():
    """A candidate that stops its clock keeps its answer, and has no latency to show."""

    async def run():
        async with pool_of("lies_about_time") as pool:
            return [await pool.run(envelope(text), arm="new") for text in ("first", "lies")]

    _, lied = asyncio.run(run())

    assert lied.outcome.answer == "lies"
    assert "by the pool's clock" in lied.untimed


def test_a_large_report_is_read_to_its_end_when_the_loop_was_busy():
    """A process that ends right after its report is no crash, however late the pool comes to read it."""

    async def run():
        async with pool_of("large_and_elsewhere") as pool:
            busy = asyncio.Event()

            async def blocker():
                while not busy.is_set():
                    time.sleep(0.4)  # noqa: ASYNC251 - it is to block the loop
                    await asyncio.sleep(0.004)

            blocking = asyncio.create_task(blocker())
            observations = [await pool.run(envelope("q", number=number), arm="new") for number in range(1, 4)]
            busy.set()
            await blocking
            return observations

    observations = asyncio.run(run())

    assert [observation.failure for observation in observations] == [None] * 3
    assert {len(observation.outcome.answer) for observation in observations} == {150_000}
