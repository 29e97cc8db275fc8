"""An evaluation with something of everything, hostile texts among it."""

import datetime as dt
import random

from shadoweval.records import (
    AskedWhen,
    Coverage,
    Evaluation,
    Example,
    Failure,
    FailureCount,
    GateResult,
    Labels,
    MetricSummary,
    PastLook,
    Refusal,
    Scored,
    SliceResult,
    ToolCall,
    Unscored,
    Verdict,
)
from shadoweval.testing import NOON, make_observation, make_query

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "{{ 7 * 7 }} {% raw %}",
    "</script><script>document.title='owned'</script>",
    "javascript:alert(1) &lt;b&gt; \u202e\x00",
)


def gate(sentence, state, **changes):
    given = {
        "sentence": sentence,
        "metric": sentence.split()[0],
        "kind": "no_worse",
        "state": state,
        "margin": 0.02,
        "incumbent": 0.412,
        "candidate": 0.463,
        "difference": 0.051,
        "lower": 0.011,
        "upper": 0.093,
        "n": 247,
        "share_of_evidence": 1.0 if state == "holds" else 0.4,
        "method": "mixture of constant bets on paired differences",
        "source": "Waudby-Smith and Ramdas 2024",
        "details": {"log e, no worse": 4.1},
    }
    return GateResult(**{**given, **changes})


def examples(count, *, seed=1):
    rng = random.Random(seed)
    for number in range(1, count + 1):
        text = (
            HOSTILE[number % len(HOSTILE)] if number % 7 == 0 else f"how do I read file number {number} line by line?"
        )
        query = make_query(number, text=text)
        incumbent = make_observation(
            query,
            answer="Use open() and read(). " + text,
            hits=["io.open", "topic:with", f"os.path.{number}"],
            calls=[ToolCall(name="look_up", arguments={"id": number}, result={"ok": True}, effect="read")],
        )
        failing = number % 9 == 0
        candidate = make_observation(
            query,
            "hybrid",
            answer="Iterate over the file object, which yields lines. " + text,
            hits=["topic:with", "io.TextIOBase.readline", "io.open"],
            calls=[ToolCall(name="refund", arguments={"id": number}, effect="write", answered="stubbed", result="ok")],
            failure=Failure(kind="timeout", message="no answer within 5 s") if failing else None,
        )
        yield Example(
            query_id=query.id,
            text=text,
            attributes={"level": "beginner", "hostile": HOSTILE[0]},
            incumbent=incumbent,
            candidate=candidate,
            scores={
                "recall@5": (Scored(0.5), Scored(rng.random())),
                "answer_quality": (Scored(0.4), Unscored("no reference answer")),
            },
            labels=Labels(relevant={"topic:with": 2}, reference="Loop over the open file."),
            why=rng.choice(["largest loss", "largest gain", "sample"]),
        )


def failures():
    own = {"of": 251, "lower": 0.021, "upper": 0.09}
    return (
        FailureCount(arm="hybrid", owner="candidate", kind="timeout", step="search", runs=12, first="q-9", **own),
        FailureCount(arm="hybrid", owner="candidate", kind="error: <b>Odd</b>", runs=3, first="q-404", **own),
        FailureCount(arm="incumbent again", owner="incumbent", kind="error: KeyError", runs=2, first="q-11", **own),
        FailureCount(arm="hybrid", owner="shadow", kind="refused", runs=1, first="q-18", **own),
        FailureCount(arm="", owner="infrastructure", kind="lease expired", runs=5, **own),
    )


def looks(verdict):
    for number in range(1, 4):
        share, width = number / 5, 0.1 / number
        yield PastLook(
            id=f"ev-{number}",
            at=NOON - dt.timedelta(hours=4 - number),
            decision="hold",
            pairs=60 * number,
            gates={g.sentence: ("open", share, 0.02, 0.02 - width, 0.02 + width) for g in verdict.gates},
        )


def summaries():
    steps = tuple(i / 20 for i in range(21))
    slow = tuple(0.02 + 0.08 * step**3 for step in steps)
    yes = {"metric": "recall@5", "higher_is_better": True, "incumbent": 0.412, "candidate": 0.463, "difference": 0.051}
    less = {"higher_is_better": False, "bounded": False, "scored": 251}
    return (
        MetricSummary(
            **yes,
            lower=0.01,
            upper=0.09,
            scored=247,
            unscored={"no document is judged for this query": 4},
            missing={"both arms": 4, "candidate": 0, "incumbent": 0},
            distribution=(steps, tuple(step**0.7 for step in steps)),
            noise_floor=0.004,
            reruns=61,
        ),
        MetricSummary(
            **{**less, "metric": "latency", "unit": "s", "incumbent": 0.0553, "candidate": 0.3712},
            difference=-0.3159,
            lower=-0.34,
            upper=-0.29,
            distribution=(slow, tuple(6.7 * value for value in slow)),
        ),
        MetricSummary(
            **{**less, "metric": "tokens", "unit": "tokens", "incumbent": 940.0, "candidate": 1304.0},
            difference=-364.0,
            lower=-410.0,
            upper=-318.0,
        ),
        MetricSummary(
            metric="overlap@5",
            higher_is_better=True,
            incumbent=0.97,
            candidate=0.62,
            difference=-0.35,
            lower=-0.4,
            upper=-0.3,
            scored=251,
            of_pair=True,
            descriptive=True,
        ),
    )


def evaluation(*, decision="hold", count=40):
    why = {"hold": "inconclusive", "promote": "proven", "rollback": "broken"}[decision]
    verdict = Verdict(
        experiment="documentation",
        candidate="hybrid",
        decision=decision,
        why=why,
        reasons=("not proven yet: recall@5 is better by 0.02 (about 310 more pairs, 200 to 520)",),
        gates=(
            gate(
                "recall@5 is better by 0.02",
                "open",
                kind="better",
                pairs_needed=(310, 200, 520),
                outlook="about 310 more pairs, 200 to 520, some 28 hours at the traffic so far",
            ),
            gate("answer_quality is no worse by 0.01", "holds"),
            gate(
                "tool_success is no worse by 0.005",
                "broken" if decision == "rollback" else "open",
                incumbent=0.94,
                candidate=0.91,
                difference=-0.03,
                lower=-0.05,
                upper=-0.01,
                critical=True,
            ),
            gate(
                "latency.p95 is at most 8 x incumbent",
                "holds",
                kind="at_most",
                ratio=True,
                margin=8.0,
                incumbent=0.0875,
                candidate=0.586,
                difference=6.7,
                lower=6.1,
                upper=7.4,
            ),
            gate("cost is at most 0.02", "error", difference=None, lower=None, upper=None, reason="no score at all"),
        ),
        notices=("recall@5 is better in truth, by less than asked",),
        pairs=251,
        units=247,
        fidelity={"replayed": 400, "stubbed": 51, "refused": 3},
    )
    return Evaluation(
        id="ev-1",
        experiment="documentation",
        created_at=NOON,
        since=NOON - dt.timedelta(hours=24),
        until=NOON,
        verdicts=(verdict,),
        coverage={
            "hybrid": Coverage(
                eligible=3000,
                not_mirrored={"not_sampled": 2690, "control": 40, "too_large": 2},
                mirrored=268,
                failed={"corrupt": 2, "poison": 1},
                waiting=14,
                paired=251,
                distinct=247,
            )
        },
        summaries={"hybrid": summaries()},
        asked={"hybrid": AskedWhen(first=NOON - dt.timedelta(hours=23), last=NOON, hours_of_day=22)},
        failures={"hybrid": failures()},
        history={"hybrid": tuple(looks(verdict))},
        tokens={"incumbent": 401_200, "hybrid": 552_008},
        costs={"incumbent": 1.9, "hybrid": 2.4},
        projected={"incumbent": 22.7, "hybrid": 28.6},
        slices={
            "hybrid": (
                SliceResult(
                    slice="level=beginner", metric="recall@5", n=80, difference=-0.08, lower=-0.12, state="worse"
                ),
                SliceResult(slice="level=expert", metric="recall@5", n=12, difference=0.1, state="too_small"),
            )
        },
        examples={"hybrid": tuple(examples(count))},
        refusals={"hybrid": (Refusal(kind="socket.connect", detail="10.0.0.1:443", layer="audit", count=3),)},
        containment={"hybrid": {"seccomp": "in force", "network namespace": "not permitted here"}},
        versions={"incumbent": {"code": "a1b2"}, "hybrid": {"code": "c3d4", "model": "offline-reader-1"}},
        overhead={"control p50": 0.0101, "mirrored p50": 0.0102},
        write_sets={"hybrid": {"same": 40, "missing": 2, "extra": 1, "duplicated": 0}},
        notes=("The chat model is an offline extractive reader, not an LLM.",),
    )
