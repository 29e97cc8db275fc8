"""Kind 13: what answers look like is compared and named, and is not taken for quality."""

from shadoweval import Labels, better, no_worse
from shadoweval.records import Hit, Outcome, Step
from shadoweval.scoring import (
    answer_quality,
    citations,
    errors,
    exact_match,
    format,  # noqa: A004 - the metric's name
    language,
    refusal,
    rouge_l,
    support,
    token_f1,
)

from .conftest import NO, RIGHT, YES, bad, good

ERRORS = no_worse("errors", by=0.02)
LONG = "the shop opens at nine and closes at five on all days of the week but on Sundays"


def varied(number):
    return {"answer": f"The shop opens at {number} and closes an hour later."}


@bad(13, "hold", "promote", "rollback", never="", says=("length",))
def answers_twice_as_long(world):
    """A metric that punishes length decides, and the arms' answers differ in nothing but length."""
    reference = Labels(reference="the shop opens at nine")
    for number in range(300):
        world.ask(number * 99, {"answer": LONG}, {"answer": "it opens at nine"}, labels=reference)
    world.judge(token_f1(), errors(), better("token_f1", by=0.02), ERRORS)


@bad(
    13, "hold", "promote", "rollback", never="", says=("answer length", "is shorter by more than 1.3 times", "rouge_l")
)
def four_of_ten_answers_much_shorter(world):
    """A part of the answers is enough to be named."""
    for number in range(300):
        candidate = {"answer": "at nine"} if number % 10 < 4 else {"answer": LONG}
        world.ask(number * 99, candidate, {"answer": LONG}, labels=Labels(reference="the shop opens at nine"))
    world.judge(rouge_l(), errors(), no_worse("rouge_l", by=0.5), ERRORS)


@bad(13, "hold", "promote", "rollback", never="", says=("over three times as long", "empty"), silent=("answer length",))
def whole_passages_as_answers(world):
    """What is recalled does not suffer by it, so a person is told, and where there is nothing to say, too."""
    for number in range(600):
        passage = f"The shop opens at {number}. " + "It lies at the corner of two streets. " * 8
        candidate = {"answer": "" if number % 5 == 0 else passage}
        world.ask(number * 99, candidate, varied(number), labels=Labels(reference=f"opens at {number}"))
    world.judge(answer_quality(), errors(), no_worse("answer_quality", by=0.3), ERRORS)


@good(13, by=600, says=("token_f1_words is no worse", "token_f1 is no worse"))
def two_of_a_kind(world):
    """One scorer twice, by two ways to split a text: each gate has its own."""
    for number in range(900):
        world.ask(number * 99, varied(number), varied(number), labels=Labels(reference=f"opens at {number % 300}"))
    gates = (no_worse("token_f1", by=0.1), no_worse("token_f1_words", by=0.1))
    world.judge(token_f1(), token_f1("words").named("token_f1_words"), errors(), *gates, no_worse("errors", by=0.1))


@bad(13, "hold", says=("answer_quality",), silent=("answer length",))
def answers_padded_to_three_times_their_length(world):
    """The same answers with small talk are no better, and quality that does not go by length is not named for it."""
    for number in range(600):
        right = world.chance.random() < 0.7
        answer = f"It opens at {number if right else number + 1}."
        labels = Labels(references=(f"The shop opens at {number}.", f"{number} every day"))
        talk = " I hope that this helps; do ask me again if there is more that I can do for you."
        world.ask(number * 99, {"answer": answer + talk}, {"answer": answer}, labels=labels)
    world.judge(answer_quality(), errors(), better("answer_quality", by=0.02), ERRORS)


@bad(13, "rollback", "hold", says=("answer_quality", "empty"))
def empty_answers_against_a_reference(world):
    """Nothing said is nothing recalled."""
    for number in range(600):
        labels = Labels(references=(f"The shop opens at {number}.", "ask the shop"))
        world.ask(number * 99, {"answer": ""} if number % 10 < 3 else varied(number), varied(number), labels=labels)
    world.judge(answer_quality(), errors(), no_worse("answer_quality", by=0.02), ERRORS)


@bad(13, "rollback", "hold", says=("answer_quality", "refus"))
def refusals_that_repeat_the_question(world):
    """The words of the question are no answer."""
    for number in range(600):
        labels = Labels(reference=f"The shop opens at {number}.")
        refusal = {"answer": "I\u2019m sorry, but I can\u2019t say when the shop opens."}
        world.ask(number * 99, refusal if number % 10 < 4 else varied(number), varied(number), labels=labels)
    world.judge(answer_quality(), errors(), no_worse("answer_quality", by=0.02), ERRORS)


@good(13, by=900, silent=("answer length",))
def longer_answers_that_are_right_more_often(world):
    """Three times as long, and no word of it against the candidate."""
    for number in range(900):
        right, served = number % 10 > 0, world.chance.random() < 0.7
        candidate = {"answer": f"As of today, our shop in the High Street opens at {number if right else 7000}, daily."}
        labels = Labels(reference=f"opens at {number}")
        served = {"answer": f"opens at {number if served else 7000}"}
        world.ask(number * 99, candidate, served, labels=labels)
    world.judge(answer_quality(), errors(), no_worse("answer_quality", by=0.1), ERRORS)


@bad(13, "hold", "promote", "rollback", never="", says=("refus",))
def refusals(world):
    """The candidate refuses four of ten."""
    refusal = {"answer": "I'm sorry, but I can't help with that."}
    for number in range(600):
        world.ask(number * 99, refusal if number % 10 < 4 else varied(number), varied(number))
    world.judge(errors(), ERRORS)


@bad(13, "hold", "promote", "rollback", never="", says=("empty",))
def empty_answers(world):
    """Three of ten answers are empty."""
    for number in range(600):
        world.ask(number * 99, {"answer": ""} if number % 10 < 3 else varied(number), varied(number))
    world.judge(errors(), ERRORS)


@bad(13, "hold", "promote", "rollback", never="", says=("same answer",))
def one_answer_for_all(world):
    """Whatever is asked, the candidate says the same."""
    for number in range(600):
        world.ask(number * 99, {"answer": "Please see our help pages for more on this."}, varied(number))
    world.judge(errors(), ERRORS)


@bad(13, "hold", "promote", "rollback", never="", says=("format",))
def another_format(world):
    """JSON in place of text."""
    for number in range(600):
        world.ask(number * 99, {"answer": f'{{"opens": {number}, "closes": {number + 1}}}'}, varied(number))
    world.judge(errors(), ERRORS)


@bad(13, "hold", "promote", "rollback", never="", says=("cyrillic",))
def another_script(world):
    """Russian in place of English."""
    for number in range(600):
        world.ask(number * 99, {"answer": f"Магазин открывается в {number} и закрывается позже."}, varied(number))
    world.judge(errors(), ERRORS)


@good(13, by=900, silent=("refus", "empty", "format", "answer length", "same answer"))
def answers_that_look_alike(world):
    """Nothing is named where nothing differs."""
    for number in range(900):
        world.ask(number * 99, varied(number), varied(number + 1))
    world.judge(errors(), ERRORS)


@good(13, by=900)
def answers_that_improve(world):
    """Right more often, as short as before."""
    for number in range(900):
        world.ask(number * 99, YES if number % 10 else {"answer": "no"}, world.right(0.6), labels=RIGHT)
    world.judge(exact_match(), errors(), better("exact_match", by=0.02), ERRORS)


@good(13, by=900)
def another_of_several_right_answers(world):
    """Where the incumbent is wrong, the candidate says the second of the references."""
    references = Labels(references=("yes", "it is so"))
    for number in range(900):
        world.ask(number * 99, {"answer": "it is so"} if number % 10 else NO, world.right(0.6), labels=references)
    world.judge(exact_match(), errors(), better("exact_match", by=0.02), ERRORS)


@bad(13, "rollback", says=("format JSON in a code fence 0% -> 100%", "format JSON 100% -> 0%"))
def json_that_comes_in_a_code_fence(world):
    """The same JSON, which no program reads any more: the wrapping is named as what changed."""
    for number in range(300):
        json = f'{{"opens": {number}}}'
        world.ask(number * 99, {"answer": f"```json\n{json}\n```"}, {"answer": json})
    world.judge(format({"type": "object"}), errors(), no_worse("format", by=0.05), ERRORS)


@good(13, by=600, says=("refusal",), silent=("look different", "proves nothing"))
def reservations_before_answers(world):
    """Apologies and reservations before an answer are no refusals, in either arm."""
    for number in range(600):
        answer = f"I'm sorry about the wait. The shop opens at {number}."
        other = f"As an AI I don't know it for sure. However, the shop opens at {number}."
        world.ask(number * 99, {"answer": answer if number % 2 else other}, varied(number))
    world.judge(refusal(), errors(), no_worse("refusal", by=0.05), ERRORS)


def retrieved(number, answer):
    """A run that found where the shop's hours stand, and answered."""
    hits = (Hit(id=f"hours-{number}", rank=1, text=f"The shop opens at {number} and closes an hour later."),)
    return {"outcome": Outcome(answer=answer, hits=hits), "steps": (Step(kind="retrieval", name="search"),)}


@bad(13, "rollback", says=("support", "citations"))
def answers_that_stand_in_nothing_retrieved(world):
    """The candidate makes up hours, and cites what nobody retrieved."""
    for number in range(300):
        right, wrong = f"The shop opens at {number} [1].", f"The zoo opens at {number + 1} [hours-{number + 1}]."
        world.ask(number * 99, retrieved(number, wrong), retrieved(number, right))
    gates = [no_worse("support", by=0.05), no_worse("citations", by=0.05)]
    world.judge(support(), citations(), errors(), *gates, ERRORS)


@good(13, by=600, says=("support", "citations", "refusal"), silent=("proves nothing",))
def answers_in_other_words_from_the_same_hits(world):
    """Both arms answer from what they found and say where."""
    for number in range(600):
        other = f"It is at {number} that the shop opens (source: hours-{number})."
        world.ask(number * 99, retrieved(number, other), retrieved(number, f"The shop opens at {number} [1]."))
    gates = [no_worse(name, by=0.05) for name in ("support", "citations", "refusal")]
    world.judge(support(), citations(), refusal(), errors(), *gates, ERRORS)


@bad(13, "rollback", says=("language",))
def answers_in_another_language(world):
    """The same in the same script, which nobody asked for."""
    for number in range(300):
        spanish = {"answer": f"La tienda abre a las {number} y cierra una hora después."}
        world.ask(number * 99, spanish, varied(number))
    world.judge(language("en", among=["en", "es"]), errors(), no_worse("language", by=0.05), ERRORS)
