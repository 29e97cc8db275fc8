"""Both support agents over the case file: offline, by every entry, and judged by what they wrote."""

import asyncio
import json
import shutil
import socket
from collections import Counter

import pytest
from langchain_core.messages import AIMessage

from evals.support_cases import CASES
from pipelines import shop, support_agent, support_agent_policy_first

ARMS = {"incumbent": support_agent, "policy-first": support_agent_policy_first}
LINES = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
THIRTY = LINES[::14][:30]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return shop.create_shop(tmp_path_factory.mktemp("shop") / "shop.sqlite")


@pytest.fixture(autouse=True)
def database(pristine, tmp_path, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    path = shutil.copy(pristine, tmp_path / "shop.sqlite")
    monkeypatch.setenv("SHOP_DATABASE", str(path))
    for module in ARMS.values():
        module.agent.cache_clear()
    return path


def asked(case):
    said = f"Customer: {case['inputs']['customer']}\n{case['inputs']['question']}"
    return {"messages": [("user", said)]}


def calls_of(messages):
    made = [call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    return [(call["name"], call["args"]) for call in made]


def wanted_rows(case):
    """The rows that the handbook's writes leave in the shop, without their numbers."""
    tables = {"refund": "refunds", "open_ticket": "tickets", "send_email": "emails"}
    for call in case["expected_calls"]:
        if call["effect"] == "write":
            columns = {"recipient" if name == "to" else name: value for name, value in call["arguments"].items()}
            yield json.dumps([tables[call["name"]], columns], sort_keys=True)


def written_rows(path):
    numbering = {"table", "refund_id", "ticket_id", "email_id", "source", "status"}
    return Counter(
        json.dumps([row["table"], {key: row[key] for key in row.keys() - numbering}], sort_keys=True)
        for row in shop.writes(path)
    )


def f1(made, wanted):
    made, wanted = Counter(made), Counter(wanted)
    return 2 * (made & wanted).total() / (made.total() + wanted.total()) if made or wanted else 1.0


def scores(module, cases, path):
    """F1 of what each case really left in the shop against what the handbook wants there."""
    scored = []
    for case in cases:
        before = written_rows(path)
        module.answer(**case["inputs"])
        scored.append(f1(written_rows(path) - before, wanted_rows(case)))
    return scored


@pytest.mark.parametrize("module", ARMS.values(), ids=ARMS)
def test_thirty_cases_are_answered_without_a_network(module, monkeypatch):
    """No socket is opened; each answer is text, and calls are counted."""

    def refuse(*_):
        raise AssertionError("an offline agent opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for case in THIRTY:
        result = module.answer(**case["inputs"])
        assert result.keys() == {"answer", "tool_calls"}
        assert result["answer"].strip()
        assert (result["tool_calls"] == 0) == (
            case["attributes"]["intent"] == "unclear" or "not sure" in result["answer"]
        )


@pytest.mark.parametrize("module", ARMS.values(), ids=ARMS)
def test_a_run_repeated_on_the_same_shop_is_identical(module, pristine, tmp_path, monkeypatch):
    """Two runs from equal shops give equal answers and bit-identical content."""
    runs = []
    for name in ("a", "b"):
        path = shutil.copy(pristine, tmp_path / name)
        monkeypatch.setenv("SHOP_DATABASE", str(path))
        runs.append(([module.answer(**case["inputs"]) for case in THIRTY], shop.digest(path)))
    assert runs[0] == runs[1]
    assert runs[0][1] != shop.digest(pristine)


@pytest.mark.parametrize("module", ARMS.values(), ids=ARMS)
def test_sync_async_and_stream_do_the_same(module, pristine, tmp_path, monkeypatch):
    """`invoke`, `ainvoke`, `stream` and `astream` make the same calls, answers and writes."""

    async def ainvoke(agent, question):
        return (await agent.ainvoke(question))["messages"]

    async def astream(agent, question):
        return [state async for state in agent.astream(question, stream_mode="values")][-1]["messages"]

    entries = {
        "invoke": lambda agent, question: agent.invoke(question)["messages"],
        "ainvoke": lambda agent, question: asyncio.run(ainvoke(agent, question)),
        "stream": lambda agent, question: list(agent.stream(question, stream_mode="values"))[-1]["messages"],
        "astream": lambda agent, question: asyncio.run(astream(agent, question)),
    }
    seen = {}
    for name, entry in entries.items():
        path = shutil.copy(pristine, tmp_path / name)
        monkeypatch.setenv("SHOP_DATABASE", str(path))
        ended = [entry(module.agent(), asked(case)) for case in THIRTY[:8]]
        seen[name] = [(calls_of(messages), messages[-1].text) for messages in ended], shop.digest(path)
    assert all(result == seen["invoke"] for result in seen.values())


def test_tokens_of_the_answer_are_streamed():
    """`stream_mode="messages"` brings the final answer in more than one piece."""
    question = {"messages": [("user", "Customer: a@b.example\nHow long do I have to send something back?")]}
    pieces = [
        chunk.text
        for chunk, facts in support_agent.agent().stream(question, stream_mode="messages")
        if facts["langgraph_node"] == "model" and chunk.text
    ]
    assert len(pieces) > 3
    assert "30 days" in "".join(pieces)


def test_the_agent_is_built_once():
    """Both arms keep their compiled graph for the life of the process."""
    assert all(module.agent() is module.agent() for module in ARMS.values())


def test_the_candidate_writes_better_and_loses_where_a_message_holds_two_wishes(pristine, tmp_path, monkeypatch):
    """By the rows left in the shop it wins about goods by far, and not on messages with several wishes."""
    goods = [case for case in LINES if case["attributes"]["intent"] in {"damaged", "return"}][::4]
    several = [case for case in LINES if case["attributes"]["intent"] == "multi"]
    mean = {}
    for name, module in ARMS.items():
        path = shutil.copy(pristine, tmp_path / name)
        monkeypatch.setenv("SHOP_DATABASE", str(path))
        for kind, cases in {"goods": goods, "several": several}.items():
            mean[name, kind] = sum(scores(module, cases, path)) / len(cases)
    assert mean["policy-first", "goods"] > mean["incumbent", "goods"] + 0.3
    assert mean["policy-first", "several"] < mean["incumbent", "several"]


def test_the_incumbent_writes_to_whom_a_message_names_and_the_candidate_does_not(database):
    """A message that names a stranger's address gets the customer's receipt sent there by one arm alone."""
    case = next(case for case in LINES if "@elsewhere.example" in case["query"])
    for module in ARMS.values():
        module.answer(**case["inputs"])
    sent = [row["recipient"] for row in shop.writes(database)]
    assert len(sent) == 2
    assert sent[0].endswith("@elsewhere.example")
    assert sent[1] == case["inputs"]["customer"]
