"""What is decorated keeps its manners, and the order of decorators is told where it makes three queries out of one."""

import copy
import functools
import inspect
import logging
import pickle

import pytest
from pydantic import BaseModel

from shadoweval.codec import thaw
from shadoweval.errors import ArgumentError
from shadoweval.mirror import Mirror


class Bot:
    """Has methods and a state of its own."""

    def __init__(self, name="bot"):
        self.name, self.asked = name, 0

    def __call__(self, question):
        self.asked += 1
        return f"{self.name}: {question}"

    def reset(self):
        self.asked = 0


class AwaitedBot:
    async def __call__(self, question):
        return question


def test_what_functools_cache_made_keeps_its_methods(mirror, kept):
    """Every call is a query, whether or not the cache answers it."""

    @mirror
    @functools.cache
    def cached(question):
        return question

    assert (cached("q"), cached("q"), cached.cache_info().hits) == ("q", "q", 1)
    cached.cache_clear()
    assert cached.cache_info().currsize == 0
    assert (cached.__name__, str(inspect.signature(cached)), len(kept.frames)) == ("cached", "(question)", 2)


def test_a_cached_method_is_bound_as_ever(mirror, kept):
    """`self` is no part of the question."""

    class Pipeline:
        @mirror
        @functools.lru_cache(maxsize=2)  # noqa: B019 - the instance lives as long as the test
        def answer(self, question):
            return f"{type(self).__name__} {question}"

    assert Pipeline().answer("q") == "Pipeline q"
    assert Pipeline.answer.cache_info().misses == 1
    assert thaw(kept.only.query.inputs) == (("q",), {})


def test_a_callable_object_stays_what_it_is(mirror, kept):
    """Methods, attributes read and written, class, copies, text."""
    original = Bot()
    bot = mirror(original)
    assert bot("How?") == "bot: How?"
    bot.name = "Ada"
    assert (original.name, bot.asked, callable(bot), isinstance(bot, Bot)) == ("Ada", 1, True, True)
    bot.reset()
    assert (original.asked, repr(bot), bot.__name__, "reset" in dir(bot)) == (0, repr(original), "Bot", True)
    assert copy.copy(bot).name == pickle.loads(pickle.dumps(bot)).name == "Ada"
    del bot.name
    assert not hasattr(original, "name")
    assert kept.only.query.entry.endswith(":Bot")


def test_an_awaited_object_is_known_as_one(mirror):
    """Frameworks look at its `__call__`."""
    bot = mirror(AwaitedBot())
    assert inspect.iscoroutinefunction(bot.__call__)
    assert inspect.iscoroutinefunction(mirror(bot).__call__)


class Session(Bot):
    """A context manager, a container, a number and a key."""

    def __init__(self, *words):
        super().__init__()
        self.words, self.log = list(words), []

    def __enter__(self):
        self.log.append("entered")
        return self

    def __exit__(self, *error):
        self.log.append("left")

    async def __aenter__(self):
        return self.__enter__()

    async def __aexit__(self, *error):
        self.__exit__(*error)

    def __len__(self):
        return len(self.words)

    def __iter__(self):
        return iter(self.words)

    def __getitem__(self, place):
        return self.words[place]

    def __setitem__(self, place, word):
        self.words[place] = word

    def __contains__(self, word):
        return word in self.words

    def __iadd__(self, word):
        self.words.append(word)
        return self

    def __add__(self, word):
        return Session(*self.words, word)

    def __eq__(self, other):
        return isinstance(other, Session) and self.words == other.words

    def __hash__(self):
        return hash(tuple(self.words))

    def __lt__(self, other):
        return self.words < other.words

    def __str__(self):
        return " ".join(self.words)

    def __format__(self, how):
        return how + str(self)


class Comparing(Bot):
    def __eq__(self, other):
        return isinstance(other, Comparing)


def test_special_methods_of_an_object_are_its_own(mirror):
    """Python looks them up on the class."""
    session = mirror(Session("a", "b"))
    assert (len(session), bool(session), bool(mirror(Session()))) == (2, True, False)
    assert (list(session), session[1], "a" in session, str(session), f"{session:>}") == (
        ["a", "b"],
        "b",
        True,
        "a b",
        ">a b",
    )
    session[0] = "c"
    assert (session.words, (session + "d").words, session < Session("d")) == (["c", "b"], ["c", "b", "d"], True)
    assert session == mirror(Session("c", "b")) == Session("c", "b") == session != Session()
    assert hash(session) == hash(Session("c", "b"))
    with pytest.raises(TypeError, match="unhashable"):
        hash(mirror(Comparing()))
    with pytest.raises(TypeError, match="no len"):
        len(mirror(Bot()))


@pytest.mark.asyncio
async def test_what_an_object_gives_of_itself_is_mirrored(mirror, kept):
    """`with bot as it`, and `bot += ...`."""
    session = mirror(Session("a"))
    with session as entered:
        entered("q")
    async with session as entered:
        entered("q")
    session += "b"
    session("q")
    assert (len(kept.frames), session.log, session.words) == (3, ["entered", "left"] * 2, ["a", "b"])


class ModelBot(BaseModel):
    """Models of pydantic have special methods and attributes of pydantic's."""

    name: str

    def __call__(self, question):
        return f"{self.name}: {question}"


def test_a_model_that_is_called_stays_a_model(mirror, kept):
    """It compares, copies, validates and is written as without us."""
    bot = mirror(ModelBot(name="Ada"))
    assert (bot("q"), bot == ModelBot(name="Ada"), dict(bot)) == ("Ada: q", True, {"name": "Ada"})
    assert (bot.model_dump(), ModelBot.model_validate(bot).name, str(bot)) == ({"name": "Ada"}, "Ada", "name='Ada'")
    assert (copy.copy(bot), copy.deepcopy(bot), len(kept.frames)) == (bot, bot, 1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(bot)


def test_objects_of_a_class_share_what_stands_for_them(mirror):
    """Decorating again and again, in each request perhaps, makes no class each time."""
    assert type(mirror(Session())) is type(mirror(Session())) is not type(mirror(Bot()))


def test_a_partial_keeps_its_parts(mirror):
    """`func`, `args` and `keywords`, and its class."""
    partial = mirror(functools.partial(print, "a", sep=""))
    assert (partial.func, partial.args, partial.keywords) == (print, ("a",), {"sep": ""})
    assert isinstance(partial, functools.partial)


def test_singledispatch_below_the_mirror_dispatches(mirror, kept):
    """Its `register` works on what comes out."""

    @mirror
    @functools.singledispatch
    def answer(question):
        return "other"

    answer.register(int, lambda question: "a number")
    assert (answer("q"), answer(3), len(kept.frames)) == ("other", "a number", 2)


def test_a_job_says_that_only_direct_calls_are_mirrored(mirror, caplog):
    """`.delay` runs what lies below; the log names the order that mirrors both."""

    class Task:
        name = "tasks.answer"

        def __call__(self, question):
            return question

        def delay(self, question):
            return question

        apply_async = delay

    with caplog.at_level(logging.WARNING):
        task = mirror(Task())
    assert (task("q"), task.delay("q")) == ("q", "q")
    assert "Only direct calls of the task 'tasks.answer' are mirrored" in caplog.text


def test_a_retry_above_the_mirror_is_told(kept, caplog):
    """Three queries, two of them failed, for one question."""
    tenacity = pytest.importorskip("tenacity")
    attempts = []

    @tenacity.retry(stop=tenacity.stop_after_attempt(3))
    @Mirror("retried", kept, control=0.0, entry="app:a_name_of_its_own")
    def answer(question):
        attempts.append(question)
        if len(attempts) < 3:
            raise ConnectionError(question)
        return question

    with caplog.at_level(logging.WARNING):
        assert answer("q") == "q"
    assert len(kept.frames) == 3
    assert caplog.text.count("tenacity stands above the mirror of 'app:a_name_of_its_own'") == 1


def test_ignored_arguments_are_no_part_of_the_query(kept):
    """By position and by name; the incumbent gets all of them."""
    mirror = Mirror("slack", kept, control=0.0, ignore=["request", "say"])

    @mirror
    def handle(request, question, *, say):
        say(request.path)
        return f"because of {question}"

    class Request:
        path = "/ask"

    said = []
    assert handle(Request(), "How?", say=said.append) == "because of How?"
    assert handle(request=Request(), question="How?", say=said.append) == "because of How?"
    assert said == ["/ask"] * 2
    assert [thaw(envelope.query.inputs) for envelope in kept.envelopes] == [
        (("How?",), {}),
        ((), {"question": "How?"}),
    ]
    assert [envelope.query.text for envelope in kept.envelopes] == ["How?"] * 2
    with pytest.raises(ArgumentError, match="Did you mean 'request'"):
        Mirror("x", kept, ignore=["requst"])(handle)
