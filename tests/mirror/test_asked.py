"""Which query a piece of code belongs to, inside a mirrored call and after it."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shadoweval import current_query
from shadoweval.adapters.wsgi import Route, ShadowWSGI
from shadoweval.capture.interception import installed
from shadoweval.mirror.call import last


@pytest.fixture(autouse=True)
def _fresh():
    """What a test before left in this thread is not asked about."""
    token = last.set(None)
    yield
    last.reset(token)


def test_inside_and_after_a_call_the_id_is_its_querys(mirror, kept):
    """The same as the envelope's, before the incumbent has answered and until the next call."""

    @mirror
    def answer(question):
        return current_query()

    assert current_query() is None
    said = [answer("a"), current_query(), answer("b"), current_query()]
    ids = [envelope.id for envelope in kept.envelopes]
    assert said == [ids[0], ids[0], ids[1], ids[1]]


def test_a_call_that_is_not_mirrored_has_no_query(mirror_with, kept):
    """Left out of the sample, refused, a control call, switched off, not to be copied: never the id of one before."""

    def ask(question):
        return current_query()

    mirror_with()(ask)("first")
    assert current_query() == kept.only.id
    refused = mirror_with(decide=lambda unit, attributes: "killed")(ask)
    assert (refused("b"), current_query()) == (None, None)
    mirror_with()(ask)("again")
    for left_out in (mirror_with(sample=0.0)(ask), mirror_with(sample=1e-12)(ask), mirror_with(control=1.0)(ask)):
        mirror_with()(ask)("again")
        assert current_query() is not None
        assert (left_out("b"), current_query()) == (None, None)
    mirror_with()(ask)("again")
    assert (mirror_with()(ask)(threading.Lock()), current_query()) == (None, None)


def test_coroutines_and_their_tasks_know_it(mirror, kept):
    """Each of many calls at once has its own, in what it starts and awaits; whoever awaited it has it afterwards."""

    async def deeper():
        await asyncio.sleep(0)
        return current_query()

    @mirror
    async def answer(question):
        inner = await asyncio.gather(deeper(), asyncio.to_thread(current_query))
        return [question, current_query(), *inner]

    async def serve(question):
        said = await answer(question)
        return [*said, current_query()]

    async def many():
        return await asyncio.gather(*map(serve, "abcd"))

    for question, *said in asyncio.run(many()):
        assert set(said) == {next(each.id for each in kept.envelopes if each.query.text == question)}
    assert len({envelope.id for envelope in kept.envelopes}) == 4


def test_streams_know_it_between_their_chunks(mirror, kept):
    """Two that are read in turns each say their own; their consumer has that of the one begun last."""

    @mirror
    def stream(question):
        for _ in range(2):
            yield current_query()

    first, second = stream("a"), stream("b")
    said = [next(first), next(second), next(first), next(second)]
    assert (*first, *second) == ()
    one, other = (envelope.id for envelope in kept.envelopes)
    assert said == [one, other, one, other]
    assert current_query() == other


def test_async_streams_know_it(mirror, kept):
    """In the body, and where it is consumed."""

    @mirror
    async def stream(question):
        yield current_query()
        yield current_query()

    async def consume():
        return [chunk async for chunk in stream("a")] + [current_query()]

    assert asyncio.run(consume()) == [kept.only.id] * 3


def test_a_nested_call_is_the_outer_query(mirror_with, kept):
    """Before, inside and after the inner one."""

    @mirror_with()
    def inner(question):
        return current_query()

    @mirror_with()
    def outer(question):
        return [current_query(), inner(question), current_query()]

    said = outer("a")
    assert {*said, current_query()} == {kept.only.id}


def test_threads_of_a_call_know_it_and_others_do_not(mirror, kept):
    """A copied context carries it; a thread of its own has none."""
    apart = []

    @mirror
    def answer(question):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(contextvars.copy_context().run, current_query).result()

    assert answer("a") == kept.only.id
    thread = threading.Thread(target=lambda: apart.append(current_query()))
    thread.start()
    thread.join()
    assert apart == [None]


def test_a_call_that_raises_has_its_query(mirror, kept):
    """A failure may be complained about."""

    @mirror
    def answer(question):
        raise ValueError(question)

    with pytest.raises(ValueError, match="a"):
        answer("a")
    assert current_query() == kept.only.id


def test_in_a_shadow_there_is_none(mirror):
    """A candidate's run is nobody's query to be marked."""

    @mirror
    def answer(question):
        return current_query()

    installed.interceptor, installed.watching = object(), installed.watching + 1
    try:
        assert answer("a") is None
    finally:
        installed.interceptor, installed.watching = None, installed.watching - 1


def test_a_server_thread_forgets_the_request_before(mirror, kept):
    """A route that is not mirrored has no query, although its thread served one before."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return [str(current_query()).encode()]

    mounted = ShadowWSGI(app, mirror, routes=[Route(path="/ask")])
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/ask"}
    (said,) = mounted(environ, lambda *_: print)
    assert said.decode() == kept.only.id
    assert mounted({**environ, "PATH_INFO": "/else"}, lambda *_: print) == [b"None"]
