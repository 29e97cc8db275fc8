"""What a verdict says is the same wherever it is said: print, alert, Markdown, page."""

import html
import json
import re
from datetime import UTC, datetime

import pytest

from shadoweval import at_most, evaluate_pairs, no_worse
from shadoweval.evaluation.alert_forms import body_of
from shadoweval.protocols import Alert, Metric
from shadoweval.records import Evaluation
from shadoweval.reporting.html import render
from shadoweval.reporting.markdown import markdown
from shadoweval.store.blobs import dump, load

SECONDS = Metric(name="latency", unit="s", higher_is_better=False, low=0.0, high=None, failure_scores=None)
TOKENS = Metric(name="tokens", unit="tokens", higher_is_better=False, low=0.0, high=None, failure_scores=None)


def judged(*gates, quality=1.0, metrics=("latency", "tokens", "quality")):
    """Six times slower, more tokens; quality as given."""
    rows = 300
    old = [0.05 + 0.0001 * n for n in range(rows)]
    scores = {
        "latency": (old, [6.7 * each for each in old]),
        "tokens": ([940.0 + n % 7 for n in range(rows)], [1034.0 + n % 5 for n in range(rows)]),
        "quality": ([float(n % 4 > 0) for n in range(rows)], [quality * (n % 4 > 0) for n in range(rows)]),
    }
    scores = {name: scores[name] for name in metrics}
    return evaluate_pairs(scores, list(gates), metrics=[SECONDS, TOKENS], name="shop", candidate="rerank")


def words(text):
    """A page's or a Markdown text's words without their markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).replace("\\", "").replace("\u2060", "").split())


PROMOTED = (
    "rerank may be rolled out: every required gate is proven, but it is worse in 2 things, most of all: latency.p95"
)
BROKEN = "Keep the incumbent: rerank is proven worse than allowed. quality 0.00 instead of 0.75 (-0.75)."


@pytest.mark.parametrize(
    ("quality", "decides", "next_step"), [(1.0, PROMOTED, "Decide whether latency.p95"), (0.0, BROKEN, "Do not roll")]
)
def test_print_alert_markdown_and_page_say_the_same_sentences(quality, decides, next_step):
    """Decision, what gets worse by how much, and what to do: word for word, from one place."""
    whole = judged(no_worse("quality", by=0.1), at_most("latency.p95", 2.0), quality=quality)
    verdict = load(dump(whole), Evaluation).verdicts[0]  # as it comes out of the store
    printed = str(verdict)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    alert = Alert(
        key="k",
        receiver="r",
        candidate="rerank",
        decision=verdict.decision,
        previous="",
        at=now,
        state="owed",
        attempts=1,
        due=now,
        verdict=verdict,
    )

    assert decides in printed
    assert re.search(r"worse  latency.p95: 0\.5\d s instead of 0\.0\d s \(6\.7 x\)", printed)
    assert re.search(r"worse  tokens: 1,036\S* tokens instead of 943\S* tokens \(9\.9 % more\); mean: ", printed)
    headline, step = (
        re.search(rf"^  (?:next   )?({re.escape(begin)}.*)$", printed, re.MULTILINE)[1]
        for begin in (decides, next_step)
    )
    for said in (words(render(whole)), words(markdown(whole)), json.loads(body_of(alert, chat=False))["text"]):
        assert headline in said
        assert step in said


def test_a_suite_that_can_not_tell_asks_for_cases():
    """No traffic comes to a file of cases: what is missing is cases, and nothing tells to let a mirror run."""
    verdict = judged(no_worse("quality", by=0.0001), metrics=["quality"]).verdicts[0]

    assert "next   Add cases" in str(verdict)
    assert "mirror" not in str(verdict)
