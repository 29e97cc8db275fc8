"""What the mirror adds to a call is seen by the breaker wherever it is added, and in every way of calling."""

import asyncio
import concurrent.futures
import io
import json
import time
from functools import cached_property
from wsgiref.handlers import SimpleHandler
from wsgiref.util import setup_testing_defaults

import pytest
from langchain_core.runnables import RunnableLambda
from starlette.responses import StreamingResponse

from shadoweval import Experiment, Traffic, record_hits, retriever, tool
from shadoweval.adapters.asgi import Route, ShadowASGI
from shadoweval.adapters.langchain import mirrored
from shadoweval.adapters.wsgi import ShadowWSGI
from shadoweval.cli.status import status_of
from shadoweval.mirror.outlet import MemoryLedger
from shadoweval.protocols import Transport
from shadoweval.settings import Settings
from shadoweval.testing import MemoryTransport
from shadoweval.traffic.breaker import Breaker, BreakerLimits
from shadoweval.worker.opening import open_receiver
from tests.waiting import until

SLOW, SLACK, CALLS = 0.02, 0.01, 25
ROUTES = [Route(path="/ask")]


def slowly(value=None):
    time.sleep(SLOW)
    return value


class Redactor:
    """Takes nothing out, slowly."""

    def __call__(self, text, _key):
        return slowly(text)


class Awkward:
    """An object whose own code is slow whenever it is copied, as it is or as data."""

    def __getstate__(self):
        return slowly({"a": 1})

    dtype = "numpy's numbers have one, and are data by their item"

    def item(self):
        return slowly(1)


class LateTransport(Transport):
    """Takes frames slowly; one without counters of its own would be left alone for a while after a late one."""

    @cached_property
    def ledger(self):
        return MemoryLedger()

    def offer(self, frame):
        del frame
        slowly()

    def close(self):
        """Nothing to let go of."""


@pytest.fixture(name="make")
def _make(tmp_path):
    """An experiment whose breaker looks all the time, and goes by our own work alone."""

    def make(transport=None, **options):
        limits = BreakerLimits(slack=SLACK, probes=20, enough=10**6, every=1e-6)
        traffic = Traffic(transport=transport or MemoryTransport(), breaker=Breaker(limits, gauges=()))
        settings = Settings(home=str(tmp_path))
        return Experiment(name="docs", candidates={"new": "a:b"}, settings=settings, traffic=traffic, **options)

    return make


def opened(experiment, call):
    """Why it opened; calls that come then are counted as its, and still answered."""
    breaker = experiment.admission.breaker
    for _ in range(CALLS):
        if breaker.trips:
            break
        call()
    call()
    counts = experiment._outlet.counts()
    assert counts["breaker_open"] >= 1, counts
    return breaker.reason()


# Each way of calling: (experiment, mirror) gives a function that makes one call and consumes its answer.


def _sync(_, mirror):
    mirrored_function = mirror(lambda question: question)
    return lambda: mirrored_function("q")


def _async(_, mirror):
    @mirror
    async def asked(question):
        return question

    return lambda: asyncio.run(asked("q"))


def _raising(_, mirror):
    @mirror
    def asked(question):
        raise LookupError(question)

    def call():
        with pytest.raises(LookupError):
            asked("q")

    return call


def _generator(_, mirror):
    @mirror
    def asked(question):
        yield question
        yield question

    return lambda: list(asked("q"))


def _abandoned(_, mirror):
    @mirror
    def asked(question):
        yield question
        yield question

    def call():
        stream = asked("q")
        next(stream)
        stream.close()

    return call


async def _all(stream):
    return [chunk async for chunk in stream]


def _async_generator(_, mirror):
    @mirror
    async def asked(question):
        yield question

    return lambda: asyncio.run(_all(asked("q")))


def _returned_stream(_, mirror):
    mirrored_function = mirror(lambda question: (part for part in question))
    return lambda: list(mirrored_function("question"))


def _returned_in_a_value(_, mirror):
    mirrored_function = mirror(lambda question: {"stream": (part for part in question)})
    return lambda: list(mirrored_function("question")["stream"])


def _returned_coroutine(_, mirror):
    async def answer(question):
        return question

    mirrored_function = mirror(lambda question: answer(question))
    return lambda: asyncio.run(mirrored_function("q"))


def _returned_future(_, mirror):
    pool = concurrent.futures.Future

    def asked(question):
        future = pool()
        future.question = question
        return future

    mirrored_function = mirror(asked)

    def call():
        future = mirrored_function("q")
        future.set_result("answer")

    return call


def _response(_, mirror):
    mirrored_function = mirror(lambda question: StreamingResponse(iter([question]), media_type="text/plain"))
    return lambda: asyncio.run(_all(mirrored_function("q").body_iterator))


async def _app(_scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"answer": "yes"}'})


def _asgi(_, mirror):
    app = ShadowASGI(_app, mirror, routes=ROUTES)
    body = b'{"question": "q"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/ask", "headers": headers, "query_string": b""}

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_message):
        """The client has it."""

    return lambda: asyncio.run(app(scope, receive, send))


def _wsgi(_, mirror):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"answer": "yes"}']

    mounted = ShadowWSGI(app, mirror, routes=ROUTES)
    body = json.dumps({"question": "q"}).encode()

    def call():
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/ask", "CONTENT_LENGTH": str(len(body))}
        setup_testing_defaults(environ)
        SimpleHandler(io.BytesIO(body), io.BytesIO(), io.StringIO(), environ, multithread=False).run(mounted)

    return call


def _runnable(_, mirror):
    runnable = mirrored(RunnableLambda(lambda question: question), mirror)
    return lambda: runnable.invoke("q")


def _runnable_stream(_, mirror):
    runnable = mirrored(RunnableLambda(lambda question: question), mirror)
    return lambda: list(runnable.stream("q"))


WAYS = [
    _sync, _async, _raising, _generator, _abandoned, _async_generator, _returned_stream, _returned_in_a_value,
    _returned_coroutine, _returned_future, _response, _asgi, _wsgi, _runnable, _runnable_stream,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_a_slow_redactor_opens_it_in_every_way_of_calling(make, way):
    """It runs when the incumbent's time is over; the caller waits for it all the same."""
    experiment = make()
    reason = opened(experiment, way(experiment, experiment.mirror(1.0, control=0.0, redact=Redactor())))

    assert "the mirror's own work" in reason


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_a_slow_way_out_opens_it_in_every_way_of_calling(make, way):
    """The hand-over is the very last of it."""
    experiment = make(LateTransport())
    reason = opened(experiment, way(experiment, experiment.mirror(1.0, control=0.0)))

    assert "the mirror's own work" in reason


PLACES = {
    "inputs": ({}, {"inputs": lambda question: slowly({"question": question})}),
    "text": ({}, {"text": slowly}),
    "key": ({}, {"key": slowly}),
    "outcome": ({"outcome": slowly}, {}),
    "failures": ({"failures": lambda _: slowly(False)}, {}),
    "an outcome that raises": ({"outcome": lambda _: slowly() / 0}, {}),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", [_sync, _async_generator], ids=["sync", "stream"])
def test_each_reader_of_the_users_is_our_time(make, place, way):
    """Whatever an experiment has us call for a mirrored call, it is waited for."""
    defined, mounted = PLACES[place]
    experiment = make(**defined)
    reason = opened(experiment, way(experiment, experiment.mirror(1.0, control=0.0, **mounted)))

    assert "the mirror's own work" in reason


@tool(effect="read")
def look_up(thing):
    return thing


@tool(effect="read", failed=lambda _: slowly(""))
def judged(question):
    return question


@tool(effect="read")
def chunks_of(thing):
    yield thing


@retriever(hit_id=lambda document: slowly(document["id"]))
def find_by_id(documents):
    return documents


INSIDE = {
    "a tool's argument": lambda: look_up(Awkward()) and None,
    "a tool's result": lambda: look_up(thing=[Awkward()]) and None,
    "a tool's judge": lambda: judged("q"),
    "a tool's chunk": lambda: list(chunks_of(Awkward())) and None,
    "a retriever's ids": lambda: find_by_id([{"id": "d1", "text": "t"}]) and None,
    "recorded hits": lambda: record_hits([{"id": "d1"}], hit_id=lambda document: slowly(document["id"])),
    "a returned object": Awkward,
    "objects in a returned value": lambda: {"value": [Awkward()]},
}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("inside", INSIDE)
def test_recording_within_the_run_is_our_time(make, inside, asynchronous):
    """Tools, steps and retrievers are written down while the incumbent runs: that is no time of its own."""
    experiment = make()
    act = INSIDE[inside]
    mirror = experiment.mirror(1.0, control=0.0)
    if asynchronous:

        @mirror
        async def aasked(question):
            return act() or question

        reason = opened(experiment, lambda: asyncio.run(aasked("q")))
    else:
        reason = opened(experiment, lambda: mirror(lambda question: act() or question)("q"))

    assert "the mirror's own work" in reason


@pytest.mark.parametrize("way", ["generator", "async generator", "returned"])
def test_chunks_that_are_slow_to_copy_are_our_time(make, way):
    """A chunk is copied when it passes, before its consumer has it."""
    experiment = make()
    mirror = experiment.mirror(1.0, control=0.0)

    def chunks(question):
        yield Awkward()
        yield question

    async def achunks(question):
        yield Awkward()
        yield question

    if way == "generator":
        asked = mirror(chunks)
    elif way == "returned":
        asked = mirror(lambda question: chunks(question))
    else:
        over = mirror(achunks)

        def asked(question):
            return asyncio.run(_all(over(question)))

    reason = opened(experiment, lambda: list(asked("q")))

    assert "the mirror's own work" in reason


@pytest.mark.parametrize("control", [0.0, 1.0])
@pytest.mark.parametrize("hook", ["attributes", "unit"])
def test_what_every_call_waits_for_opens_it_by_itself(make, hook, control):
    """Readers hit control calls alike, so no comparison shows them; open, they are not asked any more."""
    asked = []

    def read(question):
        asked.append(question)
        return slowly({} if hook == "attributes" else question)

    experiment = make()
    _sync_call = experiment.mirror(1.0, control=control, **{hook: read})(lambda question: question)
    experiment.admission.breaker.asked(0.0)
    for _ in range(5):
        _sync_call("how long calls take")
    reason = opened(experiment, lambda: _sync_call("q"))
    before = len(asked)
    _sync_call("q")

    assert "of all calls waited more than" in reason
    assert "attributes=" in reason
    assert len(asked) == before


def test_calls_that_are_copied_in_vain_are_seen(make):
    """What can't be copied is found out at the caller's cost, and that call's end is never told."""
    experiment = make()
    mirror = experiment.mirror(0.5, control=0.5, text=lambda question: slowly(question) / 2)
    asked = mirror(lambda question: question)
    for _ in range(10 * CALLS):
        asked("q")
        if experiment.admission.breaker.trips:
            break

    assert "of all calls waited more than" in experiment.admission.breaker.reason()


def test_a_mirror_that_adds_little_opens_nothing(make):
    """Nobody waits for a quarter of a second, however busy the machine is."""
    limits = BreakerLimits(slack=0.25, probes=20, enough=10**6, every=1e-6)
    experiment = make()
    experiment = Experiment(
        name="docs",
        candidates={"new": "a:b"},
        settings=experiment.settings,
        traffic=Traffic(transport=MemoryTransport(), breaker=Breaker(limits, gauges=())),
    )
    asked = experiment.mirror(1.0, control=0.5, attributes=lambda _: {}, redact=lambda text, _: text)(lambda q: q)
    for _ in range(300):
        asked("q")

    assert experiment.admission.breaker.trips == 0


def test_the_time_of_the_incumbent_is_none_of_ours(make):
    """Slow tools, slow streams and consumers that dawdle are not the mirror's doing."""
    experiment = make()
    mirror = experiment.mirror(1.0, control=0.0)

    @tool(effect="read")
    def dawdle(question):
        return slowly(question)

    @mirror
    def stream(question):
        yield dawdle(question)
        yield slowly(question)

    asked = mirror(lambda question: slowly(dawdle(question)))
    for _ in range(CALLS):
        asked("q")
        for _chunk in stream("q"):
            slowly()

    assert experiment.admission.breaker.trips == 0


def test_work_of_ours_on_an_event_loop_counts_against_its_time(tmp_path):
    """A call may be long, but while we work for it nobody else's goes on."""
    limits = BreakerLimits(slack=SLACK, slower=1.03, probes=10**6, enough=10**6, every=1e-6)
    breaker = Breaker(limits, gauges=())
    traffic = Traffic(transport=LateTransport(), breaker=breaker)
    experiment = Experiment(
        name="docs", candidates={"new": "a:b"}, settings=Settings(home=str(tmp_path)), traffic=traffic
    )

    @experiment.mirror(1.0, control=0.0)
    async def asked(question):
        await asyncio.sleep(2.0)  # what is tolerated of it is more than we take from this call
        return question

    async def many():
        for _ in range(20):
            await asyncio.gather(*(asked("q") for _ in range(100)))
            if breaker.open():
                return

    asyncio.run(many())

    assert "of the event loop's time" in breaker.reason()


def test_it_is_shown_where_people_look(tmp_path):
    """From the decorator to `status`, through the real way out: the calls that it left alone are counted as its."""
    limits = BreakerLimits(slack=SLACK, probes=20, every=1e-6)
    experiment = Experiment(
        name="docs",
        candidates={"new": "a:b"},
        settings=Settings(home=str(tmp_path)),
        traffic=Traffic(breaker=Breaker(limits, gauges=())),
    )
    asked = experiment.mirror(1.0, control=0.0, redact=Redactor())(lambda question: question)
    reason = opened(experiment, lambda: asked("q"))
    until(lambda: open_receiver(experiment).counters().get("breaker_open"))  # a collector keeps them
    counts = open_receiver(experiment).counters()
    seen = status_of(experiment, store=None, receiver=open_receiver(experiment))

    assert "the mirror's own work" in reason
    assert counts["breaker_open"] >= 1
    assert seen.counters["eligible"] == sum(
        n for name, n in seen.counters.items() if name in {"mirrored", "breaker_open"}
    )
