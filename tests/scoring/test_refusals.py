"""Refusals are told from answers by what they say, in any language that is known."""

import json
from pathlib import Path

import pytest

from shadoweval.records import Scored, Unscored
from shadoweval.scoring import refusal
from shadoweval.scoring.refusals import refuses
from shadoweval.testing import make_pair

ANSWERS = Path(__file__).parents[3] / "shared/data/evouna_nq_first_800/answers_nq.jsonl"

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I\u2019m sorry, I can\u2019t do that.",
    "Sorry.",
    "I don't know.",
    "Unknown",
    "N/A",
    "Unfortunately, I am unable to say.",
    "I do not have that at hand.",
    "The provided context does not contain information about the price.",
    "Based on the provided documents, I cannot find the answer.",
    "There is no information about this in the context.",
    "Not mentioned in the context.",
    "The answer is not in the provided context.",
    "This question cannot be answered from the documents.",
    "It is not possible to determine the price.",
    "There isn't enough information to say.",
    "Insufficient information.",
    "No relevant documents were found.",
    "I must respectfully decline.",
    "I'm unable to provide that.",
    "We're sorry, we cannot share this.",
    "Dazu habe ich leider keine Informationen.",
    "I cannot answer that. However, I recommend contacting support.",
    "Hello! I'm afraid I can't help you with that, but you can reach out to our team.",
    "As an AI, I cannot provide medical advice.",
    "I\ncan't   say.",
    "Es tut mir leid, das weiß ich nicht.",
    "Ich kann diese Frage leider nicht beantworten.",
    "Désolé, je ne peux pas répondre à cette question.",
    "Lo siento, no puedo.",
    "Mi dispiace, non posso aiutarti.",
    "Desculpe, não posso ajudar com isso.",
    "К сожалению, я не могу ответить.",
    "很抱歉我不能回答。",
    "申し訳ございませんが、お答えできません。",
    "죄송하지만 답변할 수 없습니다.",
    "عذرا، لا أستطيع المساعدة",
    "ขออภัย ฉันไม่ทราบ",
]
ANSWERED = [
    "",
    "I'm sorry to hear that your parcel is late. Your refund of 20 EUR is on its way.",
    "Sorry for the delay! Your order ships today.",
    "I'm sorry, but this information is incorrect. The first card was made in 1843.",
    "As an AI language model, I don't have opinions. However, it is 42.",
    "I don't have current data, but as of 2021 it was 12 million.",
    "No, we close at six.",
    "No. You can't return it after 30 days.",
    "I know: nine.",
    "I can do that. It is 5.",
    "Ma Rainey sang it.",
    "none of the above: Paris",
    "the information desk does not open before nine",
    "We do ship on Sundays",
    "The answer is nine.",
    "It is not in the shop but behind it.",
    "No documents are needed.",
    "No results before Monday.",
    "It is not possible to return opened items.",
]


@pytest.mark.parametrize("answer", REFUSALS)
def test_a_refusal_is_one(answer):
    """However it is spelled and whatever courtesy stands before it."""
    assert refuses(answer)


@pytest.mark.parametrize("answer", ANSWERED)
def test_an_answer_is_none(answer):
    """An apology, a reservation before an answer and a no are answers."""
    assert not refuses(answer)


def test_real_answers_are_hardly_ever_taken_for_refusals():
    """Of 2,500 that people called correct, at most one in 500."""
    if not ANSWERS.exists():
        pytest.skip(f"no test data at {ANSWERS}")
    rows = [json.loads(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()]
    right = [row["answer"] for row in rows if row["correct"] and not row["improper"]]
    assert len(right) > 2_000
    assert sum(map(refuses, right)) <= len(right) / 500


def test_an_empty_answer_gives_none():
    """Saying nothing is no way to refuse less."""
    pair = make_pair(served={"answer": "It opens at nine."}, shadow={"answer": " "})
    (score,) = refusal().score(pair)
    assert (score.incumbent, score.candidate) == (Scored(0.0), Scored(1.0))
    (score,) = refusal().score(make_pair(shadow={"answer": None}))
    assert isinstance(score.candidate, Unscored)


def test_what_stands_before_it_hides_no_refusal():
    """White space, however long, is not read."""
    (score,) = refusal().score(make_pair(shadow={"answer": "\n" * 300 + "I'm sorry, I can't help with that."}))
    assert score.candidate == Scored(1.0)
