"""From when on queries count: who began a window, when and why, and what changes it."""

from datetime import timedelta

import pytest

from shadoweval.errors import ArgumentError
from shadoweval.records import Failure, Step
from shadoweval.testing import NOON

CRASH = {"failure": Failure(kind="crash", error_type="ValueError")}


def test_a_new_window_forgets_what_came_before(site):
    """A candidate that was mended is judged by its own pairs, at this look and at all later ones."""
    site.serve(60, **CRASH)
    assert site.look().rolls_back

    begun = site.look(new_window=True, who="ann", why="the index is mended")
    site.serve(200)
    later = site.look()

    assert begun.pairs == 0
    assert (later.decision, later.pairs) == ("promote", 200)
    assert "The window begins at 2026" in str(later)
    assert ": the index is mended)" in str(later)
    assert [(start.who, start.why) for start in site.store.windows("site")] == [("ann", "the index is mended")]


def test_a_window_begins_at_a_time(site):
    """Named once it holds for later looks too; named again it is the same window."""
    site.serve(60, **CRASH)
    mended = site.clock.now
    site.serve(150)

    first = site.look(since=mended, why="mended")
    later = site.look()
    site.look(since=mended)

    assert (first.pairs, later.pairs) == (150, 150)
    assert len(site.store.windows("site")) == 1
    assert site.store.windows("site")[0].who


def test_a_look_at_the_past_or_at_a_sliding_window_begins_none(site):
    """What is shown once holds for that look alone."""
    site.serve(100)
    past = site.look(since=NOON, until=site.clock.now - timedelta(hours=2))
    trend = site.look(since=timedelta(hours=3))

    assert 0 < past.pairs < 100
    assert 0 < trend.pairs < 100
    assert site.look().pairs == 100
    assert not site.store.windows("site")


@pytest.mark.parametrize(
    "options",
    [{"new_window": True, "since": NOON}, {"new_window": True, "until": NOON}, {"since": NOON + timedelta(days=999)}],
)
def test_a_window_that_can_not_be_is_refused(site, options):
    """Two beginnings, or one that has not come."""
    with pytest.raises(ArgumentError):
        site.look(**options)
    assert not site.store.windows("site")


def test_a_release_begins_a_window_by_itself(site):
    """Of whatever arm and name: what was proven of the old one counts no more, and the verdict says what changed."""
    site.serve(200, versions={"prompt": "7"})
    assert site.look().promotes

    site.serve(60, versions={"prompt": "8"}, **CRASH)
    crashes = site.look()
    site.serve(200, versions={"prompt": "9"})
    mended = site.look()
    again = site.look()

    assert (crashes.decision, crashes.pairs) == ("rollback", 60)
    assert "'prompt' of 'new' changed in mid-run, from '7' to '8'" in str(crashes)
    assert (mended.decision, mended.pairs, again.decision) == ("promote", 200, "promote")
    assert "from '8' to '9'" in str(again)
    assert [(start.candidate, start.who) for start in site.store.windows("site")] == [("new", "by itself")] * 2


def test_a_release_that_rolls_out_among_the_old_one_begins_its_window_when_it_is_alone(site):
    """While both answer no window is begun; then it begins behind the last query of the old one."""
    for version in "1112122122":
        site.serve(5, versions={"code": version})
    both = site.look()
    site.serve(30, versions={"code": "2"})
    alone = site.look()

    assert both.holds
    assert "changed in mid-run: '1', '2'" in str(both)
    assert (alone.pairs, "from '1' to '2'" in str(alone)) == (40, True)


def test_a_window_begun_by_hand_goes_before_an_older_release(site):
    """Whoever begins a window means it; a release in it begins the next one."""
    site.serve(60, versions={"code": "1"})
    start = site.clock.now
    site.serve(60, versions={"code": "2"})
    assert site.look().pairs == 60
    assert site.look(since=start - timedelta(hours=3)).pairs == 60
    site.serve(60, versions={"code": "2"})
    assert site.look(new_window=True).pairs == 0
    site.serve(30, versions={"code": "2"})
    assert site.look().pairs == 30


def asking(*models, **more):
    return {"steps": [Step(kind="model", name=model) for model in models], **more}


def test_another_model_begins_a_window(site):
    """Once 20 pairs in a row were asked of new ones alone, whatever several of them a run asks."""
    site.serve(40, **asking("small-1", "judge-1"))
    site.serve(10, **asking("small-2"))
    assert site.look().pairs == 50
    site.serve(5, **asking("small-2", "large-2"))
    site.serve(5, **asking("small-2"))
    switched = site.look()

    assert switched.pairs == 20
    assert "'model' of 'new' changed in mid-run, from 'judge-1, small-1' to 'small-2'" in str(switched)


@pytest.mark.parametrize("named", [{}, {"versions": {"release": "7"}}])
def test_models_that_take_turns_begin_no_window(site, named):
    """A router's large model that is seldom asked, one that fails over; nor do models where the release is named."""
    for number in range(6):
        site.serve(20, **asking("small", **named))
        site.serve(1 + 30 * (number == 5), **asking("other" if named and number == 5 else "large", **named))
        assert "changed in mid-run" not in str(site.look())
    site.serve(1, **asking("other" if named else "small", **named))
    assert site.look().pairs == 157


def test_models_that_are_never_the_same_begin_no_window(site):
    """Deployments whose names are another each time say nothing of a release."""
    for number in range(150):
        site.serve(1, **asking(f"deployment-{number}"))
    assert site.look().pairs == 150


def test_another_system_prompt_begins_a_window(site):
    """As another model does; prompts that differ from query to query say nothing."""
    for prompt in ("a1", "b2"):
        for number in range(25):
            site.serve(1, versions={"system prompts": f"{prompt},{number % 2}"})
    switched = site.look()
    assert (switched.pairs, "'system prompt' of 'new' changed in mid-run" in str(switched)) == (25, True)
    for number in range(150):
        site.serve(1, versions={"system prompts": f"c{number}"})
    assert site.look().pairs == 175
