"""Harm beside the gates: what is proven worse, what it is called, and who is asked."""

import msgspec
import numpy as np
import pytest

from shadoweval.evidence.profiles import AttributeColumn
from shadoweval.protocols import Metric
from shadoweval.verdict.columns import Columns, ScoreColumns
from shadoweval.verdict.gates import no_worse
from shadoweval.verdict.harm import harms_of
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial

RIGHT, FLUENT = Metric(name="right"), Metric(name="fluent")
GATES = [no_worse("right", by=0.05)]


def columns(n=600, *, attribute="lang", worse=1.0, units=0):
    """Pairs of six languages, in one of which the candidate is worse at `right`; nobody is at `fluent`."""
    codes, known = np.arange(n) % 6, np.ones(n, dtype=bool)
    lost = (codes == 2) & (np.arange(n) // 6 % 10 < 10 * worse)
    right, fluent = (
        ScoreColumns(incumbent=np.ones(n), candidate=values, incumbent_scored=known, candidate_scored=known)
        for values in (1.0 - lost, np.ones(n))
    )
    users = codes + 6 * (np.arange(n) // 6 % units) if units else codes
    return Columns(
        asked_at=1.7e9 + 3600.0 * np.arange(n),
        key=np.arange(n, dtype=np.uint64),
        cluster=users.astype(np.uint64),
        alone=np.full(n, not units),
        scores={"right": right, "fluent": fluent},
        attributes={attribute: AttributeColumn(codes, tuple("abcdef"))},
    )


def harms(pairs, **rules):
    trial = Trial([RIGHT, FLUENT], GATES)
    trial.add(pairs)
    return harms_of(trial, Rules(**rules))


def test_a_part_that_is_worse_is_named():
    """By metric and value, beyond the margin, once."""
    found = harms(columns())
    assert [harm.names[0] for harm in found.beyond] == ["right in lang=c"]
    assert not (found.unsettled)
    assert not (found.within)
    assert not (found.waived)


@pytest.mark.parametrize("name", ["right in lang=c", "right", "lang=c"])
def test_it_is_waived_by_each_of_its_names(name):
    """The metric, the slice, or both."""
    found = harms(columns(), waive=[name])
    assert not found.beyond
    assert "right in lang=c" in found.notices[0]


@pytest.mark.parametrize("name", ["lang=b", "fluent", "right in lang=b"])
def test_other_names_waive_nothing(name):
    """A waiver is for what it says."""
    assert harms(columns(), waive=[name]).beyond


@pytest.mark.parametrize("attribute", ["fidelity", "history", "incumbent failed"])
def test_what_the_shadow_made_is_no_part_of_the_traffic(attribute):
    """How calls were answered, and what the incumbent did, is not what was asked."""
    assert not harms(columns(attribute=attribute)).beyond


def test_few_users_who_return_are_a_part():
    """Four users of a language, for whom the first time proves nothing."""
    assert [harm.names[0] for harm in harms(columns(units=4)).beyond] == ["right in lang=c"]


def test_batches_and_resuming_do_not_matter():
    """All at once, or one by one with the state kept as JSON between."""
    whole, pairs = Trial([RIGHT, FLUENT], GATES), columns(units=4)
    whole.add(pairs)
    parts = Trial([RIGHT, FLUENT], GATES)
    for start in range(0, pairs.n, 75):
        parts.add(pairs.part(slice(start, start + 75)))
        kept = msgspec.msgpack.decode(msgspec.msgpack.encode(parts.to_state()))
        parts = Trial([RIGHT, FLUENT], GATES)
        parts.restore(kept)
    assert harms_of(parts, Rules()) == harms_of(whole, Rules())
