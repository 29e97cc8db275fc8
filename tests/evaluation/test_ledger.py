"""What was tried on the same pairs: each further set of gates, rules, scorers or candidates takes more evidence."""

import math
import random
from datetime import timedelta

import pytest

from shadoweval import Rules, no_worse
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.looks import ONCE, MarginTest
from shadoweval.scoring import errors, latency


def needed(verdict):
    """What the evidence of the first gate must reach, over what it must at alpha."""
    return math.exp(verdict.gates[0].details["needed to hold"]) * 0.05


def tried(site, **options):
    verdict = site.look(**options)
    number = str(verdict).partition("this is number ")[2].partition(" ")[0]
    return int(number or 1), round(needed(verdict), 6)


def test_the_kth_set_promotes_at_its_part_of_alpha(site):
    """Whatever was changed; a set that was tried before keeps its number, and more pairs change none."""
    site.serve(30)
    assert tried(site) == (1, 1)
    assert tried(site) == (1, 1)
    site.experiment.gates = (no_worse("errors", by=0.2),)
    assert tried(site) == (2, 6)
    site.experiment.rules = Rules(min_hours=0, min_units=10)
    assert tried(site) == (3, 12)
    site.serve(30)
    assert tried(site) == (3, 12)
    site.experiment.gates = (no_worse("errors", by=0.1),)
    site.experiment.rules = Rules(min_hours=0, min_units=20)
    assert tried(site) == (1, 1)


def test_what_decides_nothing_is_no_other_set(site):
    """A dry run, the order of gates, their group in the report, a scorer that no gate asks for, waived harm."""
    site.experiment.gates = (no_worse("errors", by=0.1), no_worse("errors", by=0.2))
    site.serve(30)
    assert tried(site) == (1, 1)
    site.experiment.gates = (
        no_worse("errors", by=0.2, group="safety"),
        no_worse("errors", by=0.1),
        no_worse("errors", by=0.3, dry_run=True),
    )
    site.experiment.scorers = (errors(), latency())
    site.experiment.rules = Rules(min_hours=0, min_units=20, waive=["lang=es"])
    assert tried(site)[0] == 1


def test_a_new_window_starts_at_one(site):
    """On pairs that nobody has looked at, and not before; another beginning among the same pairs is another try."""
    site.serve(30)
    begun = site.clock.now
    site.look()
    site.experiment.gates = (no_worse("errors", by=0.2),)
    site.serve(30)
    assert tried(site) == (2, 6)
    assert tried(site, since=begun) == (2, 6)
    site.look(new_window=True)
    site.serve(30)
    assert tried(site) == (1, 1)


def test_a_release_starts_at_one(site):
    """Its pairs are its own, also where it was seen among those of the old one before."""
    site.serve(30, versions={"code": "1"})
    site.look()
    site.experiment.gates = (no_worse("errors", by=0.2),)
    for version in "12122":
        site.serve(2, versions={"code": version})
        site.look()
    site.serve(30, versions={"code": "2"})
    assert tried(site) == (1, 1)


def test_candidates_tried_at_once_share_and_one_after_the_other_count(site):
    """Two in one experiment have half of alpha each; one that takes another's place on the same queries is the next."""
    site.experiment.candidates, site.arms = {"new": "app:new", "other": "app:other"}, ["new", "other", "next"]
    site.serve(30)
    assert tried(site, candidates=["new"]) == (1, 2)
    assert tried(site, candidates=["new"]) == (1, 2)

    site.experiment.candidates = {"next": "app:next"}
    assert tried(site) == (2, 6)


def test_nothing_is_tried_where_there_are_no_pairs_or_a_trend_is_shown(site):
    """Gates that are mended before the first pair, or looked at over a window that slides, cost nothing."""
    site.look()
    site.experiment.gates = (no_worse("errors", by=0.2),)
    site.serve(30)
    site.look(since=timedelta(days=9))
    assert tried(site) == (1, 1)


def test_a_single_look_that_is_repeated_counts(site):
    """Asked again of the same pairs it says the same; of more pairs it is another one, which takes more."""
    site.serve(30)
    assert tried(site, once=True) == (1, 1)
    assert tried(site, once=True) == (1, 1)
    site.serve(10)
    assert tried(site, once=True) == (2, 6)
    assert "promotes and rolls back" in str(site.look(once=True))


@pytest.mark.parametrize("looks", [12])
def test_a_single_look_repeated_until_it_pleases_promotes_and_rolls_back_within_its_bound(looks):
    """A candidate at its margin, looked at after every 40 pairs: each way at most 1.5 alpha."""
    chance, streams = random.Random(5), 400
    wrong = {"corrected": 0, "as ever": 0}
    for _ in range(streams):
        mean = HistBet(-1.0, 1.0, bins=400)
        hit = dict.fromkeys(wrong, False)
        for look in range(1, looks + 1):
            mean.extend([chance.choice([-1.0, 0.0, 1.0]) for _ in range(40)])
            log_e = ONCE.log_e(MarginTest(mean=mean, margin=0.0, side="greater"))
            hit["corrected"] |= log_e >= -math.log(Rules(once=True, attempt=look).promotion_alpha)
            hit["as ever"] |= log_e >= -math.log(Rules(once=True).promotion_alpha)
        for name in wrong:
            wrong[name] += hit[name]
    assert wrong["corrected"] / streams <= 0.075 + 2 * math.sqrt(0.075 / streams)
    assert wrong["as ever"] / streams > 0.12
