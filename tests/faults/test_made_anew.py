"""Definitions and mountings that are made again and again, as scripts, notebook cells and requests make them.

State goes by process, home and name, not by object: what one interaction has made goes with it, and what must last (the
counts, the breaker's calls, the losses, the budget) goes on in the next one.
"""

import os
import subprocess
import sys
import textwrap

import pytest

from shadoweval import Breaker, BreakerLimits, Experiment, Settings, Traffic
from shadoweval.mirror.outlet import MemoryLedger
from shadoweval.testing import FixedClock, MemoryTransport

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors and processes are counted in /proc")

FEW = 20
"""Interactions after which nothing grows any more: caches are filled, libraries connected."""

COUNTING = """
import collections, gc, logging, os, resource, sys, threading
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

def living():
    gc.collect()
    gc.collect()
    kinds = collections.Counter(
        f"type {{each.__name__}}" if issubclass(type(each), type) else type(each) for each in gc.get_objects()
    )
    children = open(f"/proc/self/task/{{os.getpid()}}/children").read().split()
    files = sum(len(names) for _, _, names in os.walk("home"))
    return len(os.listdir("/proc/self/fd")), len(children), threading.active_count(), files, kinds

SCRIPT = compile({script!r}, "script", "exec")
shared = {{"kept": [], {shared}}}
shared["shared"] = shared
for number in range({times}):
    exec(SCRIPT, {{"__name__": "script", "number": number, **shared}})
    open(os.devnull).close()
    if number == {few}:
        few = living()
many = living()
assert [new - old for new, old in zip(many, few)][:3] == [0, 0, 0], (few[:4], many[:4])
assert many[3] <= 10 * {names}, many[3]  # segments, counts, a budget: as many as its collector has written by now
grown = many[4] - few[4]
assert not {objects} or sum(grown.values()) < 100, grown.most_common(20)
"""


def interactions(script, folder, *, times=300, objects=True, shared="", end="", names=1):
    """Run a script again and again in one process that may have 256 descriptors; fail where anything grows."""
    program = (
        COUNTING.format(
            script=textwrap.dedent(script), times=times, few=FEW, objects=objects, shared=shared, names=names
        )
        + end
    )
    environment = {**os.environ, "SHADOWEVAL_HOME": str(folder / "home")}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


DEFINED = """
    from shadoweval import Breaker, Experiment, Traffic

    anew = Experiment(
        name="anew", candidates={"new": "app:new"}, traffic=Traffic(budget={"calls": 10**9}, breaker=Breaker())
    )

    @anew.mirror(1.0, control=0.0)
    def answer(question):
        return question.upper()

    @anew.mirror(0.0)
    def left_alone(question):
        with open("/dev/null"):
            return question

    assert answer("a question") == "A QUESTION"
    assert left_alone("another") == "another"
"""


def test_a_definition_that_is_made_anew_leaves_nothing(tmp_path):
    """No descriptor, process, thread, file or object; the user's own function never fails."""
    interactions(DEFINED, tmp_path)


def test_definitions_that_are_kept_share_what_is_open(tmp_path):
    """Sessions of Streamlit keep theirs: 300 of one name have the descriptors of one."""
    interactions(DEFINED + "\n    kept.append((anew, answer, left_alone))", tmp_path, objects=False)


CLASSES = """
    class OddError(Exception):
        pass

    @anew.mirror(1.0, control=0.0)
    def fails(question):
        raise OddError(question)

    try:
        fails("a question")
    except OddError:
        pass
"""


def test_exceptions_that_a_script_defines_go_with_it(tmp_path):
    """And what its functions refer to: all that the script has loaded."""
    interactions(DEFINED + CLASSES, tmp_path, times=80)


def test_names_that_come_again_cost_nothing_more(tmp_path):
    """Fifteen experiments, however often each of them is defined: as after the first time."""
    interactions(DEFINED.replace('"anew"', 'f"anew-{number % 15}"'), tmp_path, times=150, names=15)


def test_mountings_of_one_definition_are_given_back(tmp_path):
    """A module's experiment, and a function that is decorated at each interaction."""
    once = '"anew": __import__("shadoweval").Experiment(name="anew", candidates={"new": "app:new"})'
    interactions(
        """
        @anew.mirror(1.0, control=0.0)
        def answer(question):
            return question.upper()

        assert answer("a question") == "A QUESTION"
        """,
        tmp_path,
        shared=once,
    )


@pytest.fixture(name="clock")
def _clock():
    return FixedClock()


@pytest.fixture(name="define")
def _define(tmp_path):
    def define(**traffic):
        settings = Settings(home=str(tmp_path / "home"))
        return Experiment(name="anew", candidates={"new": "app:new"}, settings=settings, traffic=Traffic(**traffic))

    return define


def test_calls_of_all_definitions_are_counted_together(define):
    """Two of one name with different options: each goes by its own, and the counts add up."""
    older, newer = define(), define(budget={"calls": 3})
    ask_older = older.mirror(1.0, control=0.0)(lambda question: question)
    ask_newer = newer.mirror(0.999, control=0.0, versions={"prompt": "2"})(lambda question: question)
    for number in range(6):
        ask_newer(f"newer {number}")
        ask_older(f"older {number}")

    counts = older._outlet.counts()
    assert counts == newer._outlet.counts()
    assert counts["eligible"] == 12
    assert counts["budget_spent"] == 12 - counts["mirrored"] >= 3  # of the newer one's calls alone
    assert counts["mirrored"] >= 6
    assert define()._sampled() is None
    older._opened_transport().close()


def test_a_breaker_goes_on_in_the_next_definition(define, clock):
    """One that were made anew with each call would never have calls enough to open."""
    limits = BreakerLimits(failure_rate=0.5, enough=20)

    def interaction(**other):
        transport = MemoryTransport()
        given = {"breaker": Breaker(limits, clock=clock.seconds), "transport": transport, **other}
        experiment = define(**given)

        @experiment.mirror(1.0, control=0.0)
        def fails():
            raise OSError("down")

        clock.tick(0.2)
        with pytest.raises(OSError, match="down"):
            fails()
        return experiment, transport.frames

    for _ in range(40):
        experiment, frames = interaction()
    assert frames == []
    assert "of mirrored calls fail" in experiment.admission.breaker.reason()
    other = Breaker(BreakerLimits(failure_rate=0.5, enough=100), clock=clock.seconds)
    assert len(interaction(breaker=other)[1]) == 1  # with other limits it is another one


class Counting(MemoryTransport):
    """Keeps counters, as those do that write into a home."""

    ledger = property(lambda self: self.__dict__.setdefault("own", MemoryLedger()))


def test_losses_of_all_definitions_open_the_breaker(define, clock):
    """A full spool is seen although each definition has lost a single call."""
    full = Counting(capacity=0)
    reasons = []
    for _ in range(60):
        experiment = define(breaker=Breaker(clock=clock.seconds), transport=full)
        clock.tick(0.2)
        experiment.mirror(1.0, control=0.0)(lambda question: question)("a question")
        reasons.append(experiment.admission.breaker.reason())
    assert reasons[0] is None
    assert "lost on the way out" in reasons[-1]
    assert full.ledger.main.snapshot()["eligible"] == 60


def test_a_budget_goes_on_in_the_next_definition(define):
    """And its file is opened once."""

    def interaction():
        experiment = define(budget={"calls": 5}, transport=MemoryTransport())
        experiment.mirror(1.0, control=0.0)(lambda question: question)("a question")
        return experiment

    kept = [interaction() for _ in range(10)]
    assert [experiment._outlet.counts().get("mirrored", 0) for experiment in kept] == [1] * 5 + [0] * 5
    assert len({id(experiment.admission.budget) for experiment in kept}) == 1
    assert define(budget={"calls": 6}).admission.budget.reason() is None


MOUNTED = {
    "a callable object": """
        answer = anew.mirror(1.0, control=0.0)(bot)
        shared["bot"] = answer
        assert answer("a question") == "a question"
    """,
    "a function": """
        answer = shared["bot"] = anew.mirror(1.0, control=0.0)(bot)
        assert answer("a question") == "a question"
    """,
    "an OpenAI client": """
        client = anew.mirror(1.0, control=0.0).client(cached)
        asked = [{"role": "user", "content": "a question"}]
        assert client.chat.completions.create(model="m", messages=asked).choices[0].message.content == "hi"
        own = anew.mirror(1.0, control=0.0).client(OpenAI(api_key="k", http_client=http))
        copied = own.with_options(timeout=3.0)
        assert copied.chat.completions.create(model="m", messages=asked).choices[0].message.content == "hi"
    """,
    "a graph": """
        shared["graph"] = graph = anew.mirror(1.0, control=0.0).runnable(graph)
        assert graph.invoke({"text": "a"}) == {"text": "a!"}
        assert list(graph.stream({"text": "a"}))
        next(iter(graph.stream({"text": "a"})))  # given up
    """,
    "a runnable": """
        shared["chain"] = chain = anew.mirror(1.0, control=0.0).runnable(chain)
        assert chain.invoke("a") == "a!"
        assert chain.batch(["a", "b"]) == ["a!", "b!"]
    """,
    "an agent's middleware": """
        model = GenericFakeChatModel(messages=iter([AIMessage("hi")]))
        agent = create_agent(model, [], middleware=[ShadowMiddleware(anew.mirror(1.0, control=0.0))])
        assert agent.invoke({"messages": [("user", "a question")]})["messages"][-1].content == "hi"
    """,
    "an ASGI app": """
        shared["asgi"] = app = anew.mirror(1.0, control=0.0).asgi(asgi, routes=[Route(path="/ask")])
        client = TestClient(app)
        assert client.post("/ask", json={"q": 1}).json() == {"q": 1}
    """,
    "a WSGI app": """
        shared["wsgi"] = app = anew.mirror(1.0, control=0.0).wsgi(wsgi, routes=[Route(path="/ask")])
        environ = {}
        setup_testing_defaults(environ)
        environ.update(REQUEST_METHOD="POST", PATH_INFO="/ask")
        assert list(app(environ, lambda *_: None)) == [b"hi"]
    """,
}
"""What is kept between interactions, and mounted over at each."""

LIBRARIES = {
    "an OpenAI client": """
import httpx
from openai import OpenAI
def replied(request):
    message = {"role": "assistant", "content": "hi"}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    completion = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
    return httpx.Response(200, json=completion)
http = httpx.Client(transport=httpx.MockTransport(replied))
cached = OpenAI(api_key="k", http_client=http)
""",
    "a graph": """
from typing import TypedDict
from langgraph.graph import END, START, StateGraph
class State(TypedDict):
    text: str
building = StateGraph(State)
building.add_node("node", lambda state: {"text": state["text"] + "!"})
building.add_edge(START, "node")
building.add_edge("node", END)
graph = building.compile()
""",
    "a runnable": """
from langchain_core.runnables import RunnableLambda
chain = RunnableLambda(lambda text: text + "!")
""",
    "an agent's middleware": """
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from shadoweval.adapters.langchain import ShadowMiddleware
""",
    "an ASGI app": """
from starlette.testclient import TestClient
from shadoweval.adapters.asgi import Route
async def asgi(scope, receive, send):
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
""",
    "a WSGI app": """
from wsgiref.util import setup_testing_defaults
from shadoweval.adapters.wsgi import Route
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hi"]
""",
}


LARGE = {"an OpenAI client", "a graph", "an agent's middleware"}
"""Their libraries take seconds to import."""


@pytest.mark.parametrize(
    "mounted", [pytest.param(each, marks=[pytest.mark.slow] if each in LARGE else []) for each in MOUNTED]
)
def test_a_mounting_that_is_made_anew_takes_the_place_of_the_one_before(mounted, tmp_path):
    """Over whatever is kept between interactions: no layers, each call counts once, nothing of the old one is left."""
    (tmp_path / "app.py").write_text(
        "from shadoweval import Experiment\n"
        'anew = Experiment(name="anew", candidates={"new": "app:new"})\n'
        "class Bot:\n    def __call__(self, question):\n        return question\n"
        + ("bot = Bot()\n" if "object" in mounted else "bot = lambda question: question\n")
        + LIBRARIES.get(mounted, ""),
        encoding="utf-8",
    )
    end = "counts = shared['anew']._outlet.counts()\nprint(counts['eligible'], counts.get('nested', 0))\n"
    printed = interactions(MOUNTED[mounted], tmp_path, times=80, shared='**vars(__import__("app"))', end=end)
    eligible, nested = map(int, printed.split())
    assert eligible in {80, 160, 240}
    assert nested == 0
