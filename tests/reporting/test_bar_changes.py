"""What gets better and what gets worse, in words that the first screen says."""

import re
import sys
from pathlib import Path

import msgspec
import pytest

from shadoweval.records import GateResult, MetricSummary
from shadoweval.records.changes import changes_of, summary_words
from shadoweval.reporting.bar import bar_of
from shadoweval.reporting.html import render, report

sys.path.insert(0, str(Path(__file__).parent))
from sample import evaluation, gate


def first_screen(html):
    """The words of the verdict bar, as a reader without style or script meets them."""
    bar = html.split('id="verdict-1">')[1].split("<h2 id=")[0]
    return " ".join(re.sub("<[^>]+>", " ", bar).split())


def test_a_slow_candidate_never_looks_like_a_clean_promote():
    """Six times slower inside an absolute limit: the promotion says so in its one sentence, and what to decide."""
    limit = GateResult(sentence="latency.p95 is at most 2", metric="latency.p95", kind="at_most", state="holds",
                       margin=2.0, candidate=0.55, lower=0.5, upper=0.6, n=251)  # fmt: skip
    whole = evaluation(decision="promote")
    verdict = msgspec.structs.replace(whole.verdicts[0], gates=(limit,), reasons=("proven: latency.p95 is at most 2",))
    words = first_screen(render(msgspec.structs.replace(whole, verdicts=(verdict,))))

    assert "hybrid may be rolled out: every required gate is proven, but it is worse in 2 things" in words
    assert re.search(r"latency.p95 0.5\d s instead of 0.0\d s \(6.7 x\)", words)
    assert "Decide whether latency.p95 may get worse; if so, roll out hybrid." in words


def test_a_clean_promote_is_told_apart():
    """Where nothing gets worse the sentence says that."""
    whole = evaluation(decision="promote")
    verdict = msgspec.structs.replace(whole.verdicts[0], gates=(gate("recall@5 is better by 0.02", "holds"),))
    clean = msgspec.structs.replace(
        whole, verdicts=(verdict,), slices={}, summaries={"hybrid": whole.summaries["hybrid"][:1]}
    )

    assert bar_of(clean, verdict)["next"] == "Roll out hybrid."
    assert "nothing measured gets worse" in first_screen(render(clean))


def test_what_is_broken_comes_first():
    """A rollback names the broken gate's values before anything that changed more."""
    words = first_screen(render(evaluation(decision="rollback")))

    assert "hybrid is proven worse than allowed. tool_success 0.910 instead of 0.940 (-0.030)." in words
    assert words.index("tool_success") < words.index("latency.p95")


def test_a_hold_says_how_many_pairs_and_how_long():
    """What to do now is to wait, for so many pairs and so much time."""
    words = first_screen(render(evaluation()))

    assert "What to do now Let the mirror run: about 310 more pairs, 200 to 520, some 28 hours" in words
    assert "251 pairs" in words
    assert "31 Dec 2025 13:00 to 1 Jan 2026 12:00 UTC (23.0 hours, 22 of 24 hours of the day)" in words


def test_agreement_is_no_difference_of_arms():
    """Overlap says how far the arms agree: it is in no list of what gets worse, and has no sign."""
    whole = evaluation()
    overlap = next(s for s in whole.summaries["hybrid"] if s.of_pair)

    assert "overlap@5" not in {
        change.metric for change in changes_of(whole.verdicts[0].gates, whole.summaries["hybrid"])
    }
    assert summary_words(overlap) == ("agrees with what was served: 0.620; the incumbent run again with itself: 0.970")


@pytest.mark.parametrize(("lower", "upper", "direction"), [(0.1, 0.2, "better"), (-0.2, -0.1, "worse"),
                                                          (-0.1, 0.1, "unclear"), (None, None, "unclear")])  # fmt: skip
@pytest.mark.parametrize("higher", [True, False])
def test_the_direction_is_by_the_interval_alone(lower, upper, direction, higher):
    """A metric of which lower is better is better when its oriented interval lies above 0; its words keep the sign."""
    arms = (1.0, 1.15) if higher == (direction != "worse") else (1.15, 1.0)
    summary = MetricSummary(metric="m", higher_is_better=higher, incumbent=arms[0], candidate=arms[1],
                            difference=0.15, lower=lower, upper=upper, bounded=False)  # fmt: skip

    (change,) = changes_of((), [summary])

    assert change.direction == direction
    assert ("more" in change.words) == (arms[1] > arms[0])


def test_what_changed_since_an_earlier_evaluation(tmp_path):
    """The report names a decision, a gate, a direction and a version that are not what they were."""
    now, then = evaluation(decision="rollback"), evaluation()
    summaries = (msgspec.structs.replace(then.summaries["hybrid"][0], lower=-0.02), *then.summaries["hybrid"][1:])
    then = msgspec.structs.replace(then, summaries={"hybrid": summaries}, versions={"hybrid": {"code": "b0"}})
    page = report(now, tmp_path / "report.html", against=then).read_text(encoding="utf-8")
    words = " ".join(re.sub("<[^>]+>", " ", page.split("Since the evaluation of")[1].split("<h2")[0]).split())

    assert "was hold, now rollback" in words
    assert "tool_success is no worse by 0.005: was open, now broken" in words
    assert "recall@5: was unclear (0.463 instead of 0.412 (+0.051)), now better" in words
    assert "hybrid: code was b0, now c3d4" in words
    assert "latency" not in words


def test_several_candidates_stand_in_one_table():
    """Each with its decision, its worst change and what to do; the row leads to its section."""
    whole = evaluation(decision="promote")
    other = msgspec.structs.replace(evaluation(decision="rollback").verdicts[0], candidate="rerank")
    page = render(msgspec.structs.replace(whole, verdicts=(*whole.verdicts, other)))
    table = page.split("2 candidates side by side")[1].split("</table>")[0]

    assert re.findall(r'href="#(verdict-\d)"', table) == ["verdict-1", "verdict-2"]
    assert "latency.p95 0.59 s instead of 0.09 s (6.7 x)" in table
    assert "Do not roll out" in table
    assert page.index('id="verdict-1"') > page.index("2 candidates side by side")
