"""The compiled request path does what its Python does, and is there where it can be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval import native
from shadoweval.capture.copying import _encode_arguments, carried, encode

ROOT = Path(__file__).parents[1]
needs_compiled = pytest.mark.skipif(not native.COMPILED, reason="the compiled parts are not used here")
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.integers(-300, 70_000)
    | st.floats()
    | st.text(st.characters(), max_size=40)  # lone surrogates among them
    | st.binary(max_size=3)
    | st.dates()
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=40)
        | st.dictionaries(st.text(st.characters(), max_size=6) | st.integers(), inner, max_size=40)
        | st.tuples(inner)
    ),
    max_leaves=60,
)


def test_they_are_there_where_they_can_be() -> None:
    """On Linux with a C compiler the installation has built them; CI has one."""
    if os.environ.get("CI") != "true" or os.environ.get("SHADOWEVAL_PURE") or not sys.platform.startswith("linux"):
        pytest.skip("a laptop may have no compiler")
    assert native.COMPILED


def test_they_are_left_alone_when_told_so() -> None:
    """SHADOWEVAL_PURE=1 runs the Python."""
    told = subprocess.run(
        [sys.executable, "-c", "from shadoweval import native; print(native.COMPILED)"],
        env={**os.environ, "SHADOWEVAL_PURE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "False"


@needs_compiled
@settings(max_examples=2000, deadline=None)
@given(value=VALUES)
def test_plain_values_are_packed_as_msgspec_does(value: object) -> None:
    """The same bytes where `carried` lets the encoder have it, and nothing where it does not; so for sorted keys."""
    pack = native.part("pack").packed
    try:
        expected = encode(value) if carried(value) else None
    except (OverflowError, UnicodeError):
        expected = None
    assert pack(value) == expected
    ordered = pack(value, True)
    assert ordered is None or ordered == _encode_arguments(value)


@needs_compiled
@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 4096, 4097, 65_535, 65_536, 1 << 20, (1 << 20) + 1])
def test_lengths_at_the_edges(size: int) -> None:
    """Heads of one, two, three and five bytes; and the caps."""
    pack = native.part("pack").packed
    for value in ("a" * size, "é" * size, {"k": "b" * size}, {str(i): i for i in range(min(size, 5000))}):
        assert pack(value) == (encode(value) if carried(value) else None)
    if size <= 4096:
        assert pack(["x"] * size) == encode(["x"] * size)
    else:
        assert pack(["x"] * size) is None


@needs_compiled
def test_what_contains_itself_is_left_to_python() -> None:
    """No endless walk, no exhausted stack."""
    loop: list[object] = []
    loop.append(loop)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert native.part("pack").packed(loop) is None
    assert native.part("pack").packed(deep) is None
    while deep:  # taken apart from outside: freeing it whole would recurse
        deep = deep[0]


# Every kind of argument, result, document, answer and end that takes another way through the code.
CALLS = r"""
import asyncio, collections, dataclasses, datetime, json, sys
from pathlib import Path
from shadoweval.capture import record_hits, record_model_call, retriever, step, tool
from shadoweval.capture.drafts import finished
from shadoweval.codec import decode_envelope, thaw
from shadoweval.mirror import Mirror

@dataclasses.dataclass
class Point: x: int

class Kept:
    drafts = True
    def __init__(self): self.frames = []
    def offer(self, frame): self.frames.append(finished(frame))

class Odd:
    def __repr__(self): return "odd"

loop = []; loop.append(loop)
RESULTS = [None, True, 0, 2**70, -5, 1.5, "text", "\ud800", "x" * 2000, b"bytes", [1, [2, "3"]], (1, 2), {"a": (1,)},
           {1: 2}, {"b": {"c": None}}, {3, 4}, datetime.date(2026, 1, 2), Point(7), Odd(), loop,
           collections.OrderedDict(b=1, a=2)]
DOCUMENTS = [[], [{"id": "a", "score": 0.5, "text": "t"}], [{"id": "a", "score": 1, "text": "t"}],
             [{"id": "a", "score": .5, "text": "t"}, "plain", ("pair", 0.25)], None, {"documents": ["x"]},
             [{"id": "a", "score": .5, "text": "t" * 70000}], [{"id": "b", "score": .5, "text": "\ud800"}]]

@tool(effect="read")
def two(a, b=3): return RESULTS[a]
@tool(effect="write", name="named")
def many(*parts, **named): return named
@tool
def raises(a): raise ValueError(a)
@tool
async def later(value): await asyncio.sleep(0); return value
class Shop:
    @tool
    def buy(self, item): return item
@retriever
def find(i): return DOCUMENTS[i]
@retriever(replace=True)
def rerank(i): return DOCUMENTS[i]
@step("model", name="llm")
def model(text): return text.upper()
@step()
def broken(): raise KeyError("no")

def uses(question):
    for i in range(len(RESULTS)):
        two(i); two(i, b=[2, 1]); two(a=i)
    many(1, 2, z=1, a={"d": 1, "c": [{"y": 1, "x": 2}]}); many(Odd()); many(x=(1,))
    Shop().buy("it")
    for call in (lambda: raises("why"), broken, lambda: two(), lambda: two(1, 2, 3)):
        try: call()
        except Exception: pass
    find(0); find(1); model("a"); record_model_call("m", input_tokens=1, output_tokens=2, cost_usd=0.5, started=0.0)
    asyncio.run(asyncio.wait_for(later({"k": [1.0]}), 5))
    return "answer"
def documents(i, j): find(i); rerank(j); record_hits(["last"]); return {"answer": "a", "documents": j}
def gives(i): return RESULTS[i]
async def awaits(question, *, k=1): return {"output": await later(k)}
def fails(question): raise RuntimeError("gone")
def large(question): return {"answer": "a", "rest": "r" * 5000}

kept = Kept()
lost = {}
def run(function, *args, options={}, **kwargs):
    made = Mirror("same", kept, control=0.0, max_bytes=options.pop("max_bytes", 1 << 20), **options)
    f = made(function)
    try:
        value = f(*args, **kwargs)
        if asyncio.iscoroutine(value): asyncio.run(value)
    except RuntimeError: pass
    for name, count in made.lane.tally.main.snapshot().items(): lost[name] = lost.get(name, 0) + count

run(uses, "what?")
for i in range(len(DOCUMENTS)): run(documents, i, 1); run(documents, 1, i)
for i in range(len(RESULTS)): run(gives, i)
run(awaits, "q"); run(awaits, "q", k={"z": 1}); run(awaits, {"question": "in a mapping", "k": [1]})
run(awaits, question="named"); run(fails, "q"); run(uses, Odd()); run(uses, "\ud800")
run(large, "q", options={"max_bytes": 900}); run(uses, "q" * 3000, options={"max_bytes": 900})
for options in (
    dict(unit=lambda q, **k: "user-1", attributes=lambda q, **k: {"plan": "pro", "n": (1,)}, sample=0.999999),
    dict(decide=lambda unit, attributes: "killed"),
    dict(decide=lambda unit, attributes: 1 / 0),
    dict(text=lambda q, **k: "said " + q, outcome=lambda value: "told"),
    dict(redact=lambda text: text.replace("q", "r")),
    dict(sample=0.0),
    dict(observe=lambda *a, **k: 1 / 0),
    dict(charge=lambda: 1 / 0),
    dict(attributes=lambda q, **k: {"a": Odd()}),
    dict(clock=lambda: datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
):
    run(awaits, "q", options=options)
@retriever
def passages(question): return [{"id": str(i), "score": i / 2, "text": text, "more": i} for i, text in enumerate(LONG)]
LONG = ["a" * 100, "b" * 200, "c" * 128, "d" * 300]
def rag(question):  # texts that are found and given back, the answer among them
    found = passages(question); answer = "long answer " * 20
    if question == "again": record_hits(["another"]); passages(question)
    return {"answer": answer, "contexts": found, "same": [LONG, answer, LONG[1][:150]], "question": question}
run(rag, "once"); run(rag, "again")
def small(question):
    for i in range(9): two(10); find(1)
    return "a"
run(small, "q")

def told(frame):
    e = decode_envelope(frame)
    def flat(x):
        if hasattr(x, "__struct_fields__"):
            return {n: flat(getattr(x, n)) for n in x.__struct_fields__ if n not in
                    ("id", "query_id", "started", "duration", "first_chunk", "asked_at", "started_at", "bucket")}
        if isinstance(x, (list, tuple)): return [flat(y) for y in x]
        if isinstance(x, dict): return {str(k): flat(v) for k, v in x.items()}
        return x if isinstance(x, (str, int, float, bool, type(None))) else repr(x)
    return flat(e)
print(json.dumps({"lost": lost, "frames": [told(f) for f in kept.frames]}))
"""


@needs_compiled
def test_every_call_leaves_the_same_envelope_either_way() -> None:
    """The compiled parts against their Python: the same calls, the same envelopes, the same losses."""
    seen = []
    for pure in ("", "1"):
        done = subprocess.run(
            [sys.executable, "-c", CALLS],
            env={**os.environ, "SHADOWEVAL_PURE": pure},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        seen.append(json.loads(done.stdout))
    compiled, python = seen

    assert len(python["frames"]) > 40
    assert compiled["lost"] == python["lost"]
    for ours, theirs in zip(compiled["frames"], python["frames"], strict=True):
        assert ours == theirs
