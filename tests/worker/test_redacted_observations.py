"""What a shadow answered is redacted before the store has it."""

import asyncio
import sqlite3

import pytest

from shadoweval import Experiment, Traffic
from shadoweval.codec import encode_envelope
from shadoweval.mirror import redact_secrets
from shadoweval.records import Envelope, Failure, Hit, Observation, Outcome, Refusal, Step, ToolCall, WriteEffect
from shadoweval.settings import Settings
from shadoweval.testing import MemoryTransport, make_observation, make_query
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import open_store

MAIL = "ann@example.com"


class Telling:
    """Candidates that put an address everywhere; the second one fails with it."""

    capacity = 2

    def __init__(self):
        self.throttles = {}

    async def run(self, envelope, *, arm, attempt=1):
        query = envelope.query
        common = {"query_id": query.id, "arm": arm, "place": "shadow", "started_at": query.asked_at, "duration": 0.1}
        common["steps"] = (Step(kind="tool", name="look", error=f"no {MAIL}"),)
        common["refusals"] = (Refusal(kind="tool", detail=f"mail to {MAIL}"),)
        common["writes"] = (WriteEffect(tool="mail", arguments={"to": MAIL}, entity=MAIL),)
        if arm == "fails":
            return Observation(**common, failure=Failure(kind="error", message=f"bad: {MAIL}"))
        call = ToolCall(name="look", arguments={"who": {"deep": (MAIL,)}}, result=({MAIL: [MAIL]},), error=MAIL)
        value = {"to": (MAIL, MAIL.encode()), MAIL: 1}
        outcome = Outcome(answer=f"ask {MAIL}", hits=(Hit(id="d", rank=1, text=MAIL),), tool_calls=(call,), value=value)
        return Observation(**common, outcome=outcome)

    async def cancel(self):
        """Nothing is in flight."""

    def drain(self):
        """Nothing waits."""


def experiment(tmp_path, **options):
    settings = Settings(home=str(tmp_path / "home"))
    candidates = {"tells": "app:tells", "fails": "app:fails"}
    return Experiment(name="docs", candidates=candidates, rerun=0.0, settings=settings, **options)


def shadowed(made):
    """Candidates' observations by arm, as the store has them, and all bytes of its database."""
    transport, query = MemoryTransport(), make_query(1, entry="app:incumbent")
    transport.offer(encode_envelope(Envelope(experiment="docs", query=query, served=make_observation(query))))
    with open_store(made) as store:
        worker = Worker(made, store=store, receiver=transport, pool=Telling())
        asyncio.run(worker.run(until_idle=True))
        found = {arm: pair.candidate for arm in made.candidates for pair in store.pairs("docs", arm)}
        funnel = store.funnel("docs", "tells")
    connection = sqlite3.connect(made.settings.folder / "shadow.db")
    raw = b"".join(row[0] for row in connection.execute("SELECT record FROM shadow_observation"))
    connection.close()
    return found, raw, funnel


def test_every_text_of_a_candidates_run_is_redacted(tmp_path):
    """Answer, hits, tool calls, value with its types, errors, refusals and writes: no byte of it reaches the store."""
    found, raw, _ = shadowed(experiment(tmp_path, redact=redact_secrets))

    assert MAIL.encode() not in raw
    outcome = found["tells"].outcome
    assert outcome.answer == "ask [EMAIL]"
    assert outcome.hits[0].text == "[EMAIL]"
    assert outcome.tool_calls[0].arguments == {"who": {"deep": ("[EMAIL]",)}}
    assert outcome.tool_calls[0].result == ({"[EMAIL]": ["[EMAIL]"]},)
    assert outcome.value == {"to": ("[EMAIL]", b"[EMAIL]"), "[EMAIL]": 1}
    assert found["fails"].failure.message == "bad: [EMAIL]"
    assert found["fails"].steps[0].error == "no [EMAIL]"


def test_what_could_not_be_redacted_is_not_kept(tmp_path):
    """A redactor that raises costs the run, which is the shadow's failure then: counted, never stored as it was."""

    def raising(text, key):
        raise LookupError(text)

    found, raw, funnel = shadowed(experiment(tmp_path, redact=raising))

    assert MAIL.encode() not in raw
    assert {run.owner for run in found.values()} == {"shadow"}
    assert {run.failure.cause for run in found.values()} == {"redact= raised LookupError"}
    assert [(run.outcome, run.calls, run.steps, run.writes, run.refusals) for run in found.values()] == [
        (None, (), (), (), ())
    ] * 2
    assert (funnel.failed, funnel.paired) == ({}, 1)


def test_without_a_redactor_runs_are_kept_as_they_were(tmp_path):
    """Nobody who did not ask for it loses a text."""
    found, raw, _ = shadowed(experiment(tmp_path))

    assert MAIL.encode() in raw
    assert found["tells"].outcome.answer == f"ask {MAIL}"


@pytest.mark.parametrize("where", ["experiment", "mounting"])
def test_mirror_and_worker_have_the_same_redactor(tmp_path, where):
    """Wherever it was given; a mounting may have another one for itself."""
    transport = MemoryTransport()
    given = {"redact": redact_secrets}
    made = experiment(tmp_path, traffic=Traffic(transport=transport), **(given if where == "experiment" else {}))
    answer = made.mirror(control=0.0, **({} if where == "experiment" else given))(
        lambda question: f"you are {question}"
    )

    assert answer(MAIL) == f"you are {MAIL}"

    assert MAIL.encode() not in transport.frames[0]
    assert made.redact is redact_secrets
    own = made.mirror(control=0.0, redact=lambda text, key: text.upper())(lambda question: question)
    own("quiet")
    assert b"QUIET" in transport.frames[1]
    assert made.redact is redact_secrets
