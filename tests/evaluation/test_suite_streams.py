"""A candidate whose answer is consumed after its return, from a case file to the sentence that a person reads."""

import json

import pytest

from shadoweval import Experiment, no_worse
from shadoweval.evaluation.suite import play
from shadoweval.scoring import errors

SHOP = """
import concurrent.futures, itertools
from starlette.responses import StreamingResponse

def good(q):
    yield "answer "
    yield f"to {q}"

def bad(q):
    yield "answer "
    raise RuntimeError("down")

async def agood(q):
    for piece in good(q): yield piece

async def abad(q):
    for piece in bad(q): yield piece

class Steps:
    def __init__(self, stream): self.stream = stream
    def __iter__(self): return self
    def __next__(self): return next(self.stream)


async def serve(q): return StreamingResponse(agood(q))
async def serve_broken(q): return StreamingResponse(abad(q))
def plain_response(q): return StreamingResponse(good(q))
def plain_response_broken(q): return StreamingResponse(bad(q))
def iterator(q): return Steps(good(q))
def iterator_broken(q): return Steps(bad(q))
def generator(q): return good(q)
def generator_broken(q): return bad(q)
def mapping(q): return {"answer": good(q)}
def mapping_broken(q): return {"answer": bad(q)}
def lazy_map(q): return map(str.upper, good(q))
def lazy_map_broken(q): return map(str.upper, bad(q))
async def events(q): return StreamingResponse(iter([f"data: {q}\\n\\n"]), media_type="text/event-stream")
async def events_broken(q): return StreamingResponse(
    iter([f"data: {q}\\n\\n", "event: error\\ndata: down\\n\\n"]), media_type="text/event-stream")
"""


@pytest.mark.parametrize("pair", ["serve", "plain_response", "iterator", "generator", "mapping", "lazy_map", "events"])
def test_a_candidate_that_fails_at_its_first_chunks_is_rolled_back(pair, tmp_path, monkeypatch):
    """It returned without an error each time, and answered nobody."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stream_shop.py").write_text(SHOP, encoding="utf-8")
    cases = tmp_path / "cases.jsonl"
    cases.write_text("".join(json.dumps({"query": f"q{n}"}) + "\n" for n in range(60)), encoding="utf-8")
    experiment = Experiment(
        name="shop",
        candidates={"c": f"stream_shop:{pair}_broken"},
        incumbent=f"stream_shop:{pair}",
        scorers=[errors()],
        gates=[no_worse("errors", by=0.05)],
    )
    evaluation = play(experiment, cases=cases).evaluation
    (verdict,) = evaluation.verdicts
    assert verdict.rolls_back, verdict
    first = evaluation.examples["c"][0]
    assert first.candidate.outcome is None
    assert first.incumbent.outcome.answer
