"""A judge that favours the candidate, and some labels by people. True difference 0.03."""

import math

import numpy as np
from scipy import stats

from benchmarks.statistics.bars import Bar, Scale, rate
from shadoweval.evidence.ppi import PredictionPowered, ppi_mean
from shadoweval.protocols import Metric
from shadoweval.verdict.columns import ScoreColumns
from shadoweval.verdict.drawn import Drawn
from shadoweval.verdict.gates import no_worse
from shadoweval.verdict.trial import Trial

TRUE = 0.03


def arms(rng, pairs: int, *, accuracy: float):
    """People's and the judge's scores of candidate and incumbent; the candidate's wrong answers pass more often."""
    query = rng.standard_normal(pairs)
    truth = [
        (math.sqrt(0.5) * (query + rng.standard_normal(pairs)) < stats.norm.ppf(p)).astype(float) for p in (0.83, 0.80)
    ]
    seen = [np.where(rng.random(pairs) < accuracy, arm, 1 - arm) for arm in truth]
    seen[0] = np.where((seen[0] == 0) & (rng.random(pairs) < 0.10), 1.0, seen[0])
    return truth, seen


def judged(rng, pairs: int, *, accuracy: float):
    """People's and the judge's differences."""
    truth, seen = arms(rng, pairs, accuracy=accuracy)
    return truth[0] - truth[1], seen[0] - seen[1]


def fixed_sample(rng, *, accuracy: float, labels: int, streams: int) -> list[Bar]:
    covered, judge_covers, widths = [], [], []
    for _ in range(streams):
        truth, judge = judged(rng, labels + 5_000, accuracy=accuracy)
        estimate = ppi_mean(truth[:labels], judge[:labels], judge[labels:])
        covered.append(estimate.lower <= TRUE <= estimate.upper)
        widths.append(estimate.upper - estimate.lower)
        error = 1.96 * judge.std() / math.sqrt(judge.size)
        judge_covers.append(abs(judge.mean() - TRUE) <= error)
    world = f"judge right in {accuracy:.0%}, {labels} labels"
    bars = [rate("labels", f"{world}: one-look interval covers", covered, limit=0.95, sense=">=")]
    if labels == 300:
        what = f"judge right in {accuracy:.0%}: interval of the judge alone covers (negative control)"
        bars.append(rate("labels", what, judge_covers, limit=0.6))
    if (accuracy, labels) == (0.95, 300):
        bars.append(
            Bar(
                name="labels",
                what=f"{world}: mean width (labels only 0.105)",
                measured=float(np.mean(widths)),
                required=0.072,
                streams=streams,
            )
        )
    return bars


def anytime(rng, *, accuracy: float, share: float, streams: int) -> Bar:
    looks = np.unique(np.round(np.geomspace(200, 10_000, 50)).astype(int))
    missed = np.zeros(streams, dtype=bool)
    for stream in range(streams):
        truth, judge = judged(rng, 10_000, accuracy=accuracy)
        labelled = rng.random(10_000) < share
        tracker, seen = PredictionPowered(share), 0
        for look in looks:
            part = slice(seen, look)
            tracker.extend(judge[part], truth[part], labelled=labelled[part])
            seen = look
            sides = (tracker.log_e(TRUE, "greater"), tracker.log_e(TRUE, "less"))
            missed[stream] |= max(sides) >= math.log(2 / 0.05)
    what = f"judge right in {accuracy:.0%}, {share:.0%} labelled: sequence ever misses, 50 looks to 10,000"
    return rate("labels", what, missed, limit=0.05)


def drawn_pairs(truth, seen, *, share: float, drawn) -> ScoreColumns:
    """Pairs of which a share, the drawn, has people's scores; `seen` are the cheap ones, None without any."""
    return ScoreColumns(
        incumbent=np.where(drawn, truth[1], 0.0),
        candidate=np.where(drawn, truth[0], 0.0),
        incumbent_scored=drawn,
        candidate_scored=drawn,
        chance=np.full(drawn.size, share),
        proxies=None if seen is None else np.array(seen[::-1]),
        not_drawn=~drawn,
    )


def of_a_gate(rng, *, accuracy: float, share: float, streams: int) -> list[Bar]:
    """From labels to the evidence that a gate rests on, looked at sixty times; with the judge's scores and without."""
    pairs, looks = 10_000, 60
    metric = Metric(name="quality", fact_of_run=True, least_chance=share)
    missed, widths = np.zeros(streams, dtype=bool), np.zeros((2, streams))
    for stream in range(streams):
        truth, seen = arms(rng, pairs, accuracy=accuracy)
        drawn = rng.random(pairs) < share
        for row, cheap in enumerate((seen, None)):
            trial = Trial([metric], [no_worse("quality", by=0.05)])
            own = drawn_pairs(truth, cheap, share=share, drawn=drawn)
            scores, variable = Drawn([metric]).weighed({"quality": own})["quality"], trial.contrasts["quality"]
            for part in np.array_split(np.arange(pairs), looks if row == 0 else 1):
                variable.add_independent(scores.of(part))
                if row == 0:
                    tests = (variable.mean.log_e(TRUE, side) for side in ("greater", "less"))
                    missed[stream] |= max(tests) >= math.log(2 / 0.05)
            lower, upper = (variable.mean.bound(0.025, edge) for edge in ("lower", "upper"))
            widths[row, stream] = upper - lower
    world = f"judge right in {accuracy:.0%}, {share:.0%} drawn"
    with_judge, alone = widths.mean(axis=1).tolist()
    what = f"{world}: width of a gate's interval after 10,000 pairs (labels alone {alone:.3f})"
    return [
        rate("labels", f"{world}: a gate's evidence ever misses, 60 looks to 10,000", missed, limit=0.05),
        Bar(name="labels", what=what, measured=with_judge, required=alone * 1.05, streams=streams),
    ]


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(8)
    bars = []
    for accuracy in (0.75, 0.85, 0.95):
        for labels in (100, 300):
            bars += fixed_sample(rng, accuracy=accuracy, labels=labels, streams=scale.streams(500))
    for accuracy in (0.75, 0.95):
        bars += [anytime(rng, accuracy=accuracy, share=share, streams=scale.streams(300)) for share in (0.05, 0.2)]
        for share in (0.05, 0.2):
            bars += of_a_gate(rng, accuracy=accuracy, share=share, streams=scale.streams(200))
    return bars
