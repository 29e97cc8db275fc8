import asyncio

from candidate_rig import envelope, pool_of


def test_caches_of_answers_are_neither_read_nor_written():
    """A run gets no answer that somebody else put into a cache, finds its own, and leaves nothing behind."""

    async def run():
        async with pool_of("ask", module="caching_candidates", seconds=60) as pool:
            return [(await pool.run(envelope("hi"), arm="new")).outcome.answer for _ in range(2)]

    said = ["the candidate's"] * 3
    assert asyncio.run(run()) == [f"{said} after {calls} calls, 0 writes, 0 entries" for calls in (2, 4)]
