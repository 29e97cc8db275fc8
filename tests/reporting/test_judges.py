"""How each judge behaved, in the section where a reader asks whether the comparison is valid."""

import sys
from pathlib import Path

import msgspec

from shadoweval.records import JudgeSeen, ProbeSeen, ShareSeen
from shadoweval.reporting.html import render
from shadoweval.reporting.judges import judge_lines
from shadoweval.reporting.markdown import markdown

sys.path.insert(0, str(Path(__file__).parent))
from sample import evaluation

QUIET = JudgeSeen(
    metric="answer_quality",
    model="gpt-4.1-mini",
    endpoint="api.openai.com",
    calls=520,
    input_tokens=120_000,
    output_tokens=9_000,
    usd=0.0624,
    asked=502,
    cached=251,
    judged=251,
    pairs=251,
    probes=(ProbeSeen(name="an empty answer", passed=0, of=20, tried=20),),
)


def seen(**changes):
    judged = msgspec.structs.replace(QUIET, **changes)
    return msgspec.structs.replace(evaluation(), judges={"hybrid": (judged,)})


def line(**changes):
    (only,) = judge_lines(seen(**changes), "hybrid")
    return only


def test_a_judge_that_nothing_speaks_against_is_a_good_line():
    """Who, where, how many pairs and what it cost; the rest is folded."""
    quiet = line()

    assert (quiet.what, quiet.state) == ("Judge of answer_quality", "good")
    assert quiet.words == (
        "gpt-4.1-mini at api.openai.com: 251 of 251 pairs judged; 520 calls, 0.0624 USD; "
        "1 probes, none of which it rewards too often"
    )
    assert "spent: 520 calls, 120,000 tokens in and 9,000 out, 0.0624 USD" in quiet.details
    assert "in this look: 502 questions answered, 251 of them by what it had said before" in quiet.details
    assert "probe, an empty answer: rewarded in 0 of 20 pairs that tell something, 20 were probed" in quiet.details


def test_what_speaks_against_a_judge_stands_in_clear():
    """A probe that it rewards is a fault; place, length, an empty purse and being alone are worth a look."""
    share = ShareSeen(n=60, of=80, lower=0.62, upper=0.85)
    fooled = ProbeSeen(name="an answer that praises itself", passed=14, of=20, tried=20, failed=True)

    against = line(by_place=share, alone=True, gated=True, budget="5 USD a day", left=0.0)
    told = line(probes=(fooled,))

    assert against.state == "look"
    assert "it goes by the place of an answer in 60 of 80 pairs (62.0 % to 85.0 %)" in against.words
    assert "nothing is left of its 5 USD a day" in against.words
    assert "a gate goes by its word alone: hardly any person has marked these answers" in against.words
    assert told.state == "bad"
    assert "it rewards an answer that praises itself (14 of 20 probed pairs)" in told.words
    assert "1 probes" not in told.words


def test_repeats_bounds_and_what_is_left_are_folded_below():
    """With the share of replies that agree, and both preferences with their bounds."""
    share = ShareSeen(n=12, of=80, lower=0.06, upper=0.31)
    folded = line(
        repeats=3, agreement=0.97, by_place=share, longer=share, budget="900 calls an hour", left=0.5,
        judged=120, lowest_chance=0.25,
    ).details  # fmt: skip

    assert "asked 3 times: on average 97.0 % of its replies agree" in folded
    assert "the longer answer preferred, where either was: 12 of 80 pairs (6.00 % to 31.0 %)" in folded
    assert "budget: 900 calls an hour, of which 50.0 % is left" in folded
    assert "judged: 120 of 251 pairs judged, drawn with chances from 0.25" in folded


def test_page_and_markdown_carry_the_line():
    """The page folds what is below it."""
    page = render(seen())

    assert "Judge of answer_quality" in page
    assert "<summary>Its conduct in numbers</summary>" in page
    assert "120,000 tokens in and 9,000 out" in page
    assert "- Judge of answer\\_quality: gpt\\-4\\.1\\-mini" in markdown(seen())


def test_without_texts_no_reason_of_a_judge_quotes_an_answer():
    """What stands before its first colon remains."""
    quoting = ProbeSeen(name="an empty answer", passed=0, of=0, tried=3, reason="ValueError: the secret answer")

    whole, bare = (render(seen(probes=(quoting,)), texts=texts) for texts in ("full", "none"))

    assert "the secret answer" in whole
    assert "the secret answer" not in bare
    assert "without a score: ValueError" in bare
