"""What a log line is about."""

import asyncio
import logging
import re
from pathlib import Path

from shadoweval.logs import about, about_now, logger

PACKAGE = Path(__file__).parents[1] / "shadoweval"


def test_a_line_carries_what_its_block_is_about(caplog):
    """The facts of all blocks around it, those that changed meanwhile among them; its own go first."""
    log = logger("shadoweval.x")
    with about(experiment="docs", candidate="old") as facts, about(candidate="new"):
        facts["decision"] = "hold"
        log.warning("first", extra={"why": "y"})
        log.warning("second", extra={"candidate": "other"})
    log.warning("third")

    first, second, third = caplog.records
    assert (first.experiment, first.candidate, first.why) == ("docs", "new", "y")
    assert second.candidate == "other"
    assert not hasattr(third, "experiment")


def test_a_block_knows_what_was_learnt_after_it_began():
    """A look's decision is known to the lines after it."""
    with about(experiment="docs") as facts:
        facts["decision"] = "hold"
        assert about_now() == {"experiment": "docs", "decision": "hold"}


def test_tasks_carry_it_apart_from_each_other(caplog):
    """Runs of two candidates log side by side."""
    log = logger("shadoweval.x")

    async def run(name):
        with about(candidate=name):
            await asyncio.sleep(0)
            log.warning(name)

    async def both():
        await asyncio.gather(*(asyncio.create_task(run(name)) for name in "ab"))

    with about(experiment="docs"):
        asyncio.run(both())

    assert [(record.message, record.candidate, record.experiment) for record in caplog.records] == [
        ("a", "a", "docs"),
        ("b", "b", "docs"),
    ]


def test_every_logger_of_worker_and_evaluation_is_such_a_one():
    """None is the plain one."""
    files = [*PACKAGE.glob("worker/*.py"), *PACKAGE.glob("evaluation/*.py"), *PACKAGE.glob("cli/*.py")]
    assert len(files) > 30

    plain = [file.name for file in files if re.search(r"getLogger\(", file.read_text(encoding="utf-8"))]
    assert not plain


def test_a_message_without_facts_of_its_own_takes_arguments_as_ever(caplog):
    """It is `logging`'s, but for the facts."""
    caplog.set_level(logging.INFO)
    with about(experiment="docs"):
        logger("shadoweval.x").info("after %.0f s", 3.0)

    assert caplog.messages == ["after 3 s"]
