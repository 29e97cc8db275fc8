"""Kind 14: what people say about the arms' answers is evidence like any other."""

from datetime import timedelta

from shadoweval import Labels, better, no_worse
from shadoweval.records import Annotation
from shadoweval.scoring import errors, exact_match, human_correctness, human_preference
from shadoweval.testing import NOON

from .conftest import CRASH, RIGHT, YES, bad, good

ERRORS = no_worse("errors", by=0.02)


def said(*marks):
    """Marks as (arm, mark) or (arm, mark, annotator), each said a day later."""
    return Labels(
        annotations=tuple(
            Annotation(
                arm=arm,
                mark=mark,
                annotator=by[0] if by else "ann",
                at=NOON + timedelta(days=day),
                over={"new": "incumbent", "incumbent": "new"}[arm] if mark in {"preferred", "tie"} else "",
            )
            for day, (arm, mark, *by) in enumerate(marks, start=1)
        )
    )


def verdict_of(right):
    return "correct" if right else "incorrect"


def marked(world, *, n=900, candidate, served, share=1.0):
    """People call right answers of each arm this often, and look at this share of the pairs."""
    for number in range(n):
        right = [world.chance.random() < chance for chance in (candidate, served)]
        looked = world.chance.random() < share
        labels = said(("new", verdict_of(right[0])), ("incumbent", verdict_of(right[1]))) if looked else None
        world.ask(number * 99, YES, labels=labels)


@good(14, by=900)
def people_call_it_right_more_often(world):
    """They looked at every answer."""
    marked(world, candidate=0.9, served=0.7)
    world.judge(human_correctness(), errors(), better("human_correctness", by=0.02), ERRORS)


@good(14, by=2700)
def people_look_at_one_of_three_pairs(world):
    """Drawn by chance: what they did not look at is no bad answer."""
    marked(world, n=2700, candidate=0.9, served=0.7, share=0.35)
    world.judge(human_correctness(), errors(), no_worse("human_correctness", by=0.05), ERRORS)


@bad(14, "rollback", says=("proven broken: human_correctness",))
def people_call_it_wrong_more_often(world):
    """Nothing else tells the arms apart."""
    marked(world, candidate=0.6, served=0.8)
    world.judge(human_correctness(), errors(), no_worse("human_correctness", by=0.05), ERRORS)


@bad(14, "hold", says=("human_correctness",))
def nobody_looked(world):
    """A gate on marks without any mark."""
    marked(world, candidate=0.9, served=0.7, share=0.0)
    world.judge(human_correctness(), errors(), no_worse("human_correctness", by=0.05), ERRORS)


@bad(14, "hold", says=("human_correctness",))
def people_looked_at_the_candidates_answers_only(world):
    """Nothing to compare them with."""
    for number in range(600):
        world.ask(number * 99, YES, labels=said(("new", "correct")))
    world.judge(human_correctness(), errors(), no_worse("human_correctness", by=0.05), ERRORS)


@bad(14, "hold", says=("human_correctness",))
def people_marked_the_candidates_right_answers_only(world):
    """Of the incumbent's answers all are marked, of the candidate's only those that are right: it looks perfect."""
    for number in range(900):
        right, served = (world.chance.random() < chance for chance in (0.6, 0.8))
        marks = [("incumbent", verdict_of(served)), *([("new", "correct")] if right else [])]
        world.ask(number * 99, YES, labels=said(*marks))
    world.judge(human_correctness(), errors(), no_worse("human_correctness", by=0.05), ERRORS)


@good(14, by=1200)
def two_people_mark_at_random(world):
    """Each looks at either arm's answer of some pairs; both arms are as often marked."""
    for number in range(1200):
        right = {"new": world.chance.random() < 0.95, "incumbent": world.chance.random() < 0.7}
        drawn = [(arm, by) for arm in right for by in ("ann", "ben") if world.chance.random() < 0.7]
        marks = [(arm, verdict_of(right[arm]), by) for arm, by in drawn]
        world.ask(number * 99, YES, labels=said(*marks) if marks else None)
    world.judge(human_correctness(), errors(), no_worse("human_correctness", by=0.05), ERRORS)


@bad(14, "hold", says=("human_correctness proves nothing",))
def people_call_all_of_it_wrong(world):
    """At its worst in both arms, a mark says nothing about what changed."""
    marked(world, candidate=0.0, served=0.0)
    world.judge(human_correctness(), errors(), no_worse("human_correctness", by=0.05), ERRORS)


@bad(
    14, "hold", "promote", "rollback", never="", says=("human_correctness: the", "labelled (scored) pairs are not like")
)
def people_marked_the_good_half(world):
    """Short questions, which both arms answer; the long ones nobody looked at."""
    for number in range(900):
        easy = number % 2 == 0
        labels = said(("new", "correct"), ("incumbent", verdict_of(world.chance.random() < 0.8))) if easy else None
        world.ask(number * 99, YES, labels=labels, text=f"q {number}" if easy else f"a long question {number} " * 9)
    world.judge(human_correctness(), errors(), no_worse("human_correctness", by=0.05), ERRORS)


@bad(14, "rollback", says=("proven broken",))
def answers_that_failed_where_people_looked(world):
    """A crash has no answer to mark; where the incumbent's was marked it is a wrong one."""
    for number in range(900):
        crash = number % 5 == 0
        marks = [("incumbent", "correct")] if crash else [("incumbent", "correct"), ("new", "correct")]
        world.ask(number * 99, CRASH if crash else YES, labels=said(*marks))
    world.judge(human_correctness(), errors(), no_worse("human_correctness", by=0.05), no_worse("errors", by=0.9))


@good(14, by=600)
def people_who_changed_their_minds(world):
    """Of each annotator the last word counts: wrong at first, then right."""
    for number in range(600):
        served = verdict_of(world.chance.random() < 0.7)
        world.ask(number * 99, YES, labels=said(("new", "incorrect"), ("incumbent", served), ("new", "correct")))
    world.judge(human_correctness(), errors(), better("human_correctness", by=0.02), ERRORS)


@good(14, by=600)
def people_prefer_it(world):
    """Two of three who do not call it a tie."""
    for number in range(600):
        draw = world.chance.random()
        mark = ("new", "tie") if draw < 0.3 else ("new" if draw < 0.8 else "incumbent", "preferred")
        world.ask(number * 99, YES, labels=said(mark))
    world.judge(human_preference(), errors(), better("human_preference", by=0.02), ERRORS)


@bad(14, "rollback", says=("proven broken: human_preference",))
def people_prefer_what_is_served(world):
    """However many ties there are."""
    for number in range(600):
        draw = world.chance.random()
        mark = ("new", "tie") if draw < 0.4 else ("new" if draw < 0.5 else "incumbent", "preferred")
        world.ask(number * 99, YES, labels=said(mark))
    world.judge(human_preference(), errors(), no_worse("human_preference", by=0.05), ERRORS)


@bad(14, "hold", says=("human_preference",), looks=12)
def people_find_no_difference(world):
    """Ties all over: no gain is proven."""
    for number in range(600):
        world.ask(number * 99, YES, labels=said(("new", "tie")))
    world.judge(human_preference(), errors(), better("human_preference", by=0.02), ERRORS)


@good(2, by=600)
def people_always_prefer_it(world):
    """The incumbent is at its worst because the candidate is better: that proves something."""
    for number in range(600):
        world.ask(number * 99, YES, labels=said(("new", "preferred")))
    world.judge(human_preference(), errors(), no_worse("human_preference", by=0.1), ERRORS)


@good(2, by=900)
def right_where_the_incumbent_never_is(world):
    """No probe scores worse than an incumbent that is always wrong, and the candidate shows that the metric moves."""
    for number in range(900):
        world.ask(number * 99, world.right(0.6), world.right(0.01), labels=RIGHT)
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)
