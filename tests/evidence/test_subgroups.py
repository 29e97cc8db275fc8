"""Parts that nobody named: planted ones are named, chance is not, and units count once."""

import numpy as np
import pytest
from scipy.stats import t

from shadoweval.evidence.subgroups import Features, _student, confirm, seek

WORDS, TOPIC, ATTRIBUTES = 3000, 8, 11


def world(rng, count, *, loss, attribute=False):
    """Queries of words by Zipf's law with a topic, or an attribute's value, in 8 %, whose score of 0 or 1 falls."""
    often = 1 / np.arange(1, WORDS + 1)
    lengths, member = rng.integers(6, 14, count), rng.random(count) < 0.08
    rows, columns = [np.repeat(np.arange(count), lengths)], [rng.choice(WORDS, lengths.sum(), p=often / often.sum())]
    has = (rng.random((count, TOPIC)) < 0.3) & member[:, None]
    has[np.arange(count), rng.integers(0, TOPIC, count)] |= member
    has = np.repeat(member[:, None], TOPIC, 1) & (np.arange(TOPIC) == 0) if attribute else has
    stray = np.zeros_like(has) if attribute else rng.random((count, TOPIC)) < 0.004
    places, which = np.nonzero(has | stray)
    plain = WORDS + TOPIC
    rows += [places, np.arange(count), np.arange(count)]
    columns += [WORDS + which, plain + rng.integers(0, 3, count), plain + 3 + rng.integers(0, 8, count)]
    width = plain + ATTRIBUTES
    both = np.unique(np.concatenate(rows) * width + np.concatenate(columns))
    features = Features(rows=both // width, columns=both % width, alternatives=np.arange(width) < plain)
    served, again = rng.random(count) < 0.75, rng.random(count) < 0.75
    ran = np.where(rng.random(count) > 0.6, again, served) & ~(member & (rng.random(count) < loss / 0.75))
    return ran.astype(float) - served.astype(float), features, member


def named(rng, differences, features, *, units=None):
    """What a report would name: half of the units seeks, the other one tests."""
    units = np.arange(len(differences)) if units is None else units
    first = rng.random(int(units.max()) + 1)[units] < 0.5
    rules = seek(differences, features, rows=first, units=units)
    return confirm(differences, features, rules=rules, rows=~first, units=units, alpha=0.05)


@pytest.mark.parametrize("attribute", [False, True])
def test_a_planted_part_is_named_with_mostly_its_own_members(attribute):
    """8 % of 2,000, 30 points worse: in nine of ten runs, and three quarters of those that it names are its own."""
    hits, purity = 0, []
    for run in range(50):
        rng = np.random.default_rng(500_000 + run)
        differences, features, member = world(rng, 2000, loss=0.3, attribute=attribute)
        worse = [part for part in named(rng, differences, features) if part.rule.sign < 0]
        own = [member[part.rule.members(features, 2000)].mean() for part in worse]
        hits += any(share > 0.5 for share in own)
        purity += [share for share in own if share > 0.5]

    assert hits >= 43  # 0.9 less two standard errors
    assert np.mean(purity) > 0.75


def test_chance_is_named_in_at_most_one_run_of_twenty():
    """The same pipeline as both arms."""
    wrong = 0
    for run in range(100):
        rng = np.random.default_rng(run)
        differences, features, _ = world(rng, 1000, loss=0.0)
        wrong += bool(named(rng, differences, features))

    assert wrong <= 5


def test_ten_turns_of_one_conversation_are_one_witness():
    """Conversations go well or badly as a whole: turns taken for witnesses name chance, conversations do not."""
    wrong = {"turns": 0, "conversations": 0}
    for run in range(60):
        rng = np.random.default_rng(run)
        units = np.repeat(np.arange(300), 10)
        mood, word = rng.choice([-0.5, 0.0, 0.5], 300)[units], rng.integers(0, 5, 300)[units]
        features = Features(rows=np.arange(3000), columns=word, alternatives=np.ones(5, dtype=bool))
        first = rng.random(300)[units] < 0.5
        for name, whose in (("turns", np.arange(3000)), ("conversations", units)):
            rules = seek(mood, features, rows=first, units=whose)
            wrong[name] += bool(confirm(mood, features, rules=rules, rows=~first, units=whose, alpha=0.05))

    assert wrong["conversations"] <= 6  # 5 % and two standard errors
    assert wrong["turns"] > 2 * max(wrong["conversations"], 3)


def test_bounds_hold_the_true_difference():
    """Of the part that was named, the bounds lie around what was planted."""
    held = total = 0
    for run in range(40):
        rng = np.random.default_rng(900 + run)
        differences, features, _ = world(rng, 3000, loss=0.3, attribute=True)
        for part in named(rng, differences, features):
            if part.rule.any_of == (WORDS,) and part.rule.further is None:
                held, total = held + (part.lower <= -0.3 <= part.upper), total + 1

    assert total > 20
    assert held >= 0.9 * total


def test_nothing_is_named_where_nothing_differs_or_all_is_alike():
    """No row, no feature, features that all have: each has no part to name."""
    everywhere = Features(rows=np.arange(400), columns=np.zeros(400, dtype=int), alternatives=np.ones(1, dtype=bool))
    nothing = np.zeros(0, dtype=int)
    bare = Features(rows=nothing, columns=nothing, alternatives=np.ones(1, dtype=bool))
    rng = np.random.default_rng(1)
    worse = rng.choice([-1.0, 0.0], 400)

    assert named(rng, worse, everywhere) == []
    assert named(rng, worse, bare) == []
    assert named(rng, np.zeros(400), everywhere) == []


def test_the_quantile_is_students():
    """Against scipy."""
    for level in (0.975, 0.99, 0.9997):
        for freedom in (19, 40, 1000):
            assert _student(level, freedom) == pytest.approx(t.ppf(level, freedom), rel=1e-3)
