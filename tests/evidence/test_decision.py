import math

import numpy as np
import pytest

from shadoweval.evidence.decision import guard_verdict
from shadoweval.evidence.inputs import StatsInputError

SURE, NOTHING = 10.0, 0.0


def decide(ni=(SURE, SURE), mat=(NOTHING, NOTHING), reg=(NOTHING, NOTHING), **settings):
    return guard_verdict(ni, mat, reg, **({"n_units": 1_000} | settings))


def test_every_guard_no_worse_promotes():
    """All guards at ln(1 / alpha) at once promote, at exactly the threshold too."""
    assert decide().outcome == "promote"
    assert decide(ni=(math.log(20), SURE)).outcome == "promote"


def test_one_guard_without_evidence_holds():
    """Promotion needs all guards; their evidence is never averaged."""
    decision = decide(ni=(50.0, math.log(20) - 0.01))
    assert decision.outcome == "hold"
    assert decision.log_promote == pytest.approx(math.log(20) - 0.01)


def test_one_guard_materially_worse_rolls_back_even_when_all_could_promote():
    """Rollback is checked first, and names the guard."""
    decision = decide(mat=(NOTHING, math.log(40)))
    assert decision.outcome == "rollback"
    assert decision.blame is not None
    assert decision.blame.likeliest == 1


def test_rollback_needs_the_mean_of_the_e_values():
    """E-values 39 and 0.5 average below 20; 40 and 0.5 above."""
    assert decide(mat=np.log([39.0, 0.5])).outcome == "promote"
    assert decide(mat=np.log([40.0, 0.5])).outcome == "rollback"


def test_blame_names_with_certainty_only_what_the_closed_test_names():
    """Two guards of 30 alarm together, but neither alone can be named beside a silent third."""
    decision = decide(ni=(0, 0, 0), mat=np.log([31.0, 30.0, 0.1]), reg=(0, 0, 0))
    assert decision.outcome == "rollback"
    assert decision.blame is not None
    assert decision.blame.named == ()
    clear = decide(ni=(0, 0), mat=np.log([60.0, 0.5])).blame
    assert clear is not None
    assert clear.named == (0,)


def test_regression_within_the_margin_is_a_notice_beside_any_outcome():
    """It does not stop promotion, but it is said."""
    decision = decide(reg=(math.log(41), NOTHING))
    assert decision.notice
    assert decision.outcome == "promote"
    assert decision.blame is not None
    assert decision.blame.likeliest == 0


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"n_units": 199}, "199 of at least 200 units"), ({"blocked": ("drift alarm",)}, "drift alarm")],
)
def test_barriers_turn_promotion_into_holding(settings, reason):
    """Too few units or an open alarm never promote; the reason is kept."""
    decision = decide(**settings)
    assert decision.outcome == "hold"
    assert reason in decision.blocked


def test_barriers_do_not_stop_a_rollback():
    """Stopping harm needs no permission."""
    assert decide(mat=(SURE, SURE), n_units=20, blocked=("drift alarm",)).outcome == "rollback"


def test_required_improvements_join_the_intersection():
    """Without evidence of superiority there is no promotion."""
    assert decide(log_sup=(NOTHING,)).outcome == "hold"
    assert decide(log_sup=(SURE,)).outcome == "promote"


def test_more_candidates_need_more_evidence_to_promote():
    """K candidates promote at ln(K / alpha)."""
    almost = (math.log(20) + 0.5,) * 2
    assert decide(ni=almost).outcome == "promote"
    assert decide(ni=almost, candidates=4).outcome == "hold"


def test_weights_shift_the_rollback_toward_what_matters():
    """A guard with most of the weight needs less evidence of its own."""
    assert decide(mat=np.log([25.0, 0.5])).outcome == "promote"
    assert decide(mat=np.log([25.0, 0.5]), weights=(9, 1)).outcome == "rollback"


def test_unusable_evidence_is_refused():
    """NaN, unequal lengths and no guard at all raise: there is no verdict on nothing."""
    with pytest.raises(StatsInputError):
        decide(ni=(math.nan, 1.0))
    with pytest.raises(StatsInputError, match="shapes"):
        decide(mat=(1.0,))
    with pytest.raises(StatsInputError):
        decide(ni=(), mat=(), reg=())
    with pytest.raises(StatsInputError, match="candidates"):
        decide(candidates=0)
