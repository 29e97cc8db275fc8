"""Runs that are seen through callbacks keep to their call."""

import asyncio
import threading

from langchain_core.runnables import (
    RunnableLambda,
)

from shadoweval import codec
from shadoweval.adapters.langchain import mirrored
from tests.adapters.langchain.runnables import Docs, build_graph


def test_runs_that_cut_the_callbacks_stay_in_their_call(kept, mirror, counted):
    """A node that runs a chain with callbacks of its own makes no second query, and its hits are kept."""

    def cut(asked):
        return len(Docs().invoke(asked["q"], {"callbacks": []}))

    runnable = RunnableLambda(lambda asked: asked) | RunnableLambda(cut)
    assert mirrored(runnable, mirror).invoke({"q": "x"}) == 2
    assert counted(mirror) == {"eligible": 1, "mirrored": 1}
    assert [hit.id for hit in kept.only.served.outcome.hits] == ["d1", "d2"]


def test_concurrent_runs_keep_apart(kept, mirror, counted):
    """Threads and tasks that call one mirrored graph at once each get a query with their own hits and answer."""
    graph = mirrored(build_graph(), mirror)
    threads = [threading.Thread(target=graph.invoke, args=({"q": f"t{n}"},)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def run():
        await asyncio.gather(*(graph.ainvoke({"q": f"a{n}"}) for n in range(16)))

    asyncio.run(run())
    assert counted(mirror) == {"eligible": 24, "mirrored": 24}
    for envelope in kept.envelopes:
        (asked,), _ = codec.thaw(envelope.query.inputs)
        assert [hit.text for hit in envelope.served.outcome.hits] == [asked["q"]]
        assert envelope.served.outcome.value["answer"] == f"{asked['q'].upper()}!"
