"""A judge that is asked: at an endpoint, through LangChain or as a function."""

import asyncio
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from shadoweval.errors import ArgumentError, UnknownArgumentError
from shadoweval.records import NOT_DRAWN, Unscored
from shadoweval.scoring import Judge, JudgeBudget, Message, Question, Reply
from shadoweval.scoring.judges.questions import key_of
from shadoweval.testing import FixedClock, ScriptedJudge
from tests.waiting import until

SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "score": {"type": "integer", "minimum": 0, "maximum": 3},
        "marks": {"type": "array", "items": {"enum": ["yes", "no"]}, "minItems": 2, "maxItems": 2},
    },
    "required": ["reason", "score", "marks"],
    "additionalProperties": False,
}
GOOD = {"reason": "fine", "score": 2, "marks": ["yes", "no"]}


def question(query_id="q-1", text="How good is it?", schema=SCHEMA):
    messages = (Message("system", "You judge."), Message("user", text))
    return Question(messages=messages, schema=schema, name="grade", query_id=query_id)


def completion(content, *, finish="stop", refusal=None):
    message = {"role": "assistant", "content": content if isinstance(content, str) else json.dumps(content)}
    choice = {"index": 0, "message": {**message, "refusal": refusal}, "finish_reason": finish}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {"id": "c", "created": 1, "model": "m", "object": "chat.completion", "choices": [choice], "usage": usage}


@pytest.fixture(name="at_server")
def _at_server(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return lambda **options: Judge("m", base_url=server.url, api_key="sk-secret", **options)


def one(judge, asked=None):
    (said,) = judge.ask_many([asked or question()])
    return said


def test_a_reply_is_read_and_what_it_took_is_counted(server, at_server):
    """The endpoint gets a strict schema and the parameters; the reply has content, tokens and dollars."""
    server.answers += [completion(GOOD)]

    said = one(at_server(temperature=0.3, seed=7, max_tokens=50, price=(1.0, 10.0)))

    assert (said.content, said.cached) == (GOOD, False)
    assert (said.usage.calls, said.usage.tokens, said.usage.usd) == (1, 110, pytest.approx(0.0002))
    ((_, body),) = server.seen
    assert body["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "grade", "schema": SCHEMA, "strict": True},
    }  # fmt: skip
    assert (body["temperature"], body["seed"], body["max_tokens"]) == (0.3, 7, 50)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (completion("no idea"), "the judge's reply is not JSON"),
        (completion("[1]"), "the judge's reply is no JSON object"),
        (completion('{"score": NaN}'), "the judge's reply is not JSON"),
        (completion({**GOOD, "score": 9}), "the judge's reply is out of range in 'score'"),
        (completion({**GOOD, "score": True}), "the judge's reply does not fit in 'score' (type)"),
        (completion({**GOOD, "marks": ["yes"]}), "the judge's reply has a wrong length in 'marks'"),
        (completion({**GOOD, "marks": ["yes", "perhaps"]}), "the judge's reply is out of range in 'marks'"),
        (completion({**GOOD, "more": 1}), "the judge's reply does not fit (additionalProperties)"),
        (completion('{"reason": "on and', finish="length"), "the judge's reply was cut off: raise Judge(max_tokens=)"),
        (completion("", finish="content_filter"), "the judge refused to answer"),
        (completion("", refusal="I can't."), "the judge refused to answer"),
        ({**completion(GOOD), "choices": []}, "the judge's reply is not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_reply_is_unscored_and_may_lie_in_the_answer(server, at_server, answer, reason):
    """Nothing is guessed, cut or filled in; it is not kept either, so that asking again may help."""
    server.answers += [answer, completion(GOOD)]
    judge = at_server()

    assert one(judge) == Unscored(reason)
    assert one(judge).content == GOOD


def test_a_fence_around_a_reply_is_taken_off(server, at_server):
    """Models without schemas like to write Markdown."""
    server.answers += [completion(f"```json\n{json.dumps(GOOD)}\n```")]

    assert one(at_server()).content == GOOD


@pytest.mark.parametrize("status", [401, 403, 404])
def test_who_may_not_ask_is_unscored_and_asks_once(server, at_server, status):
    """A wrong key says nothing about the answers, and is not tried a hundred times."""
    server.faults += [status] * 50

    said = at_server(concurrency=1).ask_many([question(f"q-{number}", str(number)) for number in range(20)])

    assert {each.informative for each in said} == {False}
    assert f"injected {status}" in said[0].reason
    assert "sk-secret" not in said[0].reason
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_busy_judge_is_asked_again(server, at_server, status):
    """Until it answers, within the deadline."""
    server.faults += [status]
    server.answers += [completion(GOOD)]

    assert one(at_server()).content == GOOD
    assert len(server.seen) == 2


def test_a_judge_that_stays_busy_is_unscored_by_the_deadline(server, at_server):
    """With the reason, which says nothing about the answer, and is tried again at the next look."""
    server.faults += [503] * 1000

    said = one(at_server(deadline=0.8))

    assert said.reason.startswith("TimeoutError: the judge did not answer within 0.8 s (at last: InternalServerError")
    assert not said.informative


def test_a_judge_that_hangs_is_unscored_by_the_deadline():
    """Also a function that does not return: nobody waits for its thread, at the end of the asking neither."""
    released = threading.Event()
    judge = ScriptedJudge(lambda _: released.wait(600), deadline=0.2)

    said = one(judge)
    still_hangs = not released.is_set()
    released.set()

    assert said == Unscored("TimeoutError: the judge did not answer within 0.2 s", informative=False)
    assert still_hangs


def test_a_server_without_schemas_is_asked_otherwise_once(server, at_server):
    """It answers 400 to `json_schema`: the schema stands in the system message from then on."""
    server.faults += [400]
    server.answers += [completion(GOOD), completion(GOOD)]

    said = at_server(concurrency=1).ask_many([question("q-1", "a"), question("q-2", "b")])

    assert [each.content for each in said] == [GOOD, GOOD]
    forms = [body["response_format"]["type"] for _, body in server.seen]
    assert forms == ["json_schema", "json_object", "json_object"]
    assert '"maximum":3' in server.seen[-1][1]["messages"][0]["content"]


def test_a_question_that_the_server_refuses_is_unscored(server, at_server):
    """400 twice is about the question, of which the answer is a part."""
    server.faults += [400, 400]

    said = one(at_server())

    assert "injected 400" in said.reason
    assert said.informative
    assert len(server.seen) == 2


def test_nothing_plays_a_judge_where_there_is_none(monkeypatch):
    """No key, no endpoint: no score, and the sentence says what to set."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    why = "no judge endpoint is configured: set OPENAI_API_KEY or Judge(base_url=...)"

    assert one(Judge("gpt-4.1-mini")) == Unscored(why, informative=False)


def test_the_environment_names_the_endpoint(server, monkeypatch):
    """`OPENAI_BASE_URL` as the SDK reads it; a server of one's own needs no key."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    server.answers += [completion(GOOD)]

    assert one(Judge("local")).content == GOOD


def test_a_chat_model_of_langchain_judges(server):
    """Through `with_structured_output`, with its own parameters and its tokens."""
    langchain = pytest.importorskip("langchain_openai")
    server.answers += [completion(GOOD)]
    model = langchain.ChatOpenAI(model="m", base_url=server.url, api_key="x", temperature=0.5)

    said = one(Judge(model))

    assert (said.content, said.usage.tokens) == (GOOD, 110)
    assert server.seen[0][1]["temperature"] == 0.5


async def _say_it(_):
    await asyncio.sleep(0)
    return GOOD


def test_a_function_judges_async_or_not():
    """Whatever library it uses."""
    assert [one(Judge(function)).content for function in (_say_it, lambda _: json.dumps(GOOD))] == [GOOD, GOOD]


def test_it_may_be_asked_where_a_loop_runs():
    """In a notebook or an async test, and from threads; its threads end with the asking."""

    async def here():
        return one(ScriptedJudge(GOOD))

    before = threading.active_count()
    assert asyncio.run(here()).content == GOOD
    until(lambda: threading.active_count() == before)


def test_what_can_change_a_reply_keeps_replies_apart(server):
    """Two models, temperatures, seeds, lengths, endpoints, prompts, schemas and repeats never share a reply."""
    other = {**SCHEMA, "description": "another"}
    base = {"model": "m", "base_url": server.url, "api_key": "x"}
    judges = [Judge(**base), Judge(**{**base, "model": "n"}), Judge(**{**base, "base_url": server.url + "/"})]
    options = [("temperature", 0.5), ("temperature", None), ("seed", 1), ("max_tokens", 9), ("repeats", 2)]
    judges += [Judge(**base, **{option: value}) for option, value in options]
    keys = {
        key_of(judge.identity, asked, index=index)
        for judge in judges
        for index in range(judge.repeats)
        for asked in (question(), question(text="another"), question(schema=other))
    }

    assert len(keys) == 3 * 8  # the judge of two repeats shares its first one with the same judge of one


def test_the_same_question_is_asked_once():
    """At the same time, or later; whichever query it is of."""
    judge = ScriptedJudge(GOOD)

    first = judge.ask_many([question("q-1"), question("q-2")])
    (again,) = judge.ask_many([question("q-3")])

    assert len(judge.questions) == 1
    assert [each.content for each in (*first, again)] == [GOOD] * 3
    assert (again.cached, again.usage.calls) == (True, 0)


def test_repeats_say_how_far_a_judge_agrees_with_itself():
    """The reply is what most of them said, whatever their reasons."""
    said = iter([{"score": 2}, {"score": 1}, {"score": 2}])
    judge = ScriptedJudge(lambda _: {**GOOD, "reason": str(object()), **next(said)}, repeats=3, concurrency=1)

    reply = one(judge)

    assert (reply.content["score"], reply.agreement, reply.usage.calls) == (2, pytest.approx(2 / 3), 3)


def test_a_budget_that_runs_short_thins_and_is_not_overrun():
    """Of many queries ever fewer are judged, by their ids, and no more calls are made than were under way."""
    clock = FixedClock()
    judge = ScriptedJudge(GOOD, budget=JudgeBudget(calls=100, least_chance=0.2), concurrency=4, clock=clock)

    said = judge.ask_many([question(f"q-{number}", str(number)) for number in range(1000)])

    chances = [each.chance for each in said if isinstance(each, Reply)]
    assert 100 <= len(judge.questions) <= 103
    assert set(chances) == {1.0, 0.5, 0.25, 0.2}
    reasons = {each for each in said if isinstance(each, Unscored)}
    assert {each.reason for each in reasons} == {
        NOT_DRAWN, "the judge's budget is spent",
    }  # fmt: skip
    assert not any(each.informative for each in reasons)
    assert one(judge, question("q-0", "0")).cached, "what was said costs nothing"
    clock.tick(24 * 3600)
    assert isinstance(one(judge, question("late", "late")), Reply), "another day, another budget"


def test_all_questions_about_a_query_are_asked_or_none():
    """Both arms and the re-run alike: no arm is left out because money went while they were asked."""
    judge = ScriptedJudge(GOOD, budget=JudgeBudget(calls=40), concurrency=4)
    asked = [question(f"q-{number}", f"{number} {arm}") for number in range(200) for arm in range(3)]

    said = judge.ask_many(asked)

    for number in range(200):
        assert len({isinstance(each, Reply) for each in said[3 * number : 3 * number + 3]}) == 1


def test_a_judge_is_refused_where_it_is_written():
    """A budget in USD without a price, a model that is none, a budget without a limit, a name that does not exist."""
    with pytest.raises(ArgumentError, match=r"Judge\(price\) must be known for a budget in USD"):
        Judge("m", budget=JudgeBudget(usd=1.0))
    with pytest.raises(ArgumentError, match="must be a model"):
        Judge("")
    with pytest.raises(ArgumentError, match="must be a limit"):
        JudgeBudget()
    with pytest.raises(UnknownArgumentError, match="Did you mean 'temperature'"):
        Judge("m", temprature=1)
    with pytest.raises(ArgumentError, match="USD for a million tokens"):
        Judge("m", price=3)


def test_a_judge_shows_no_key():
    """Its name is in reports and stores."""
    judge = Judge("m", base_url="https://user:password@judge.example/v1?key=1", api_key="sk-secret")

    assert repr(judge) == "Judge('m at judge.example')"


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_an_endpoint_is_left_alone_for_as_long_as_it_asks(form):
    """`Retry-After` in both its forms, for all calls of the judge."""

    class Busy(Exception):
        status_code = 429

        def __init__(self):
            later = datetime.now(UTC) + timedelta(seconds=2)
            said = "0.3" if form == "seconds" else format_datetime(later, usegmt=True)
            self.response = type("Response", (), {"headers": {"retry-after": said}})()

    asked = []

    def busy_at_first(_):
        asked.append(time.monotonic())
        if len(asked) == 1:
            raise Busy
        return GOOD

    assert one(ScriptedJudge(busy_at_first)).content == GOOD
    assert asked[1] - asked[0] >= 0.3
