"""System prompts are told as digests, to recorders that ask."""

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from shadoweval.capture.prompts import note_prompts


class Asking:
    def __init__(self):
        self.prompts = []
        self.note_prompt = self.prompts.append


def digests(*messages):
    asking = Asking()
    note_prompts(asking, messages)
    return asking.prompts


def test_they_are_found_in_whatever_messages_are():
    """LangChain's, mappings of OpenAI's, with parts or without, nested in batches: all the same digest."""
    (plain,) = digests({"role": "system", "content": "Be short."})
    others = digests(
        [[SystemMessage("Be short."), HumanMessage("Hi")]],
        {"role": "developer", "content": [{"type": "text", "text": "Be short."}, {"type": "image"}]},
        {"role": "user", "content": "Be short."},
        None,
        "Be short.",
        {"role": "system", "content": None},
    )
    assert others == [plain, plain]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Today is Tuesday, December 1, 2026, 09:00 pm.", True),
        ("Today is Fri, Feb 28, 1999, 11:59 am.", True),
        ("Now is Monday, November 30, 2026, 8:00 am.", False),
    ],
)
def test_what_day_it_is_makes_no_other_prompt(text, same):
    """Digits, days and months do not count; any other word does."""
    prompts = digests(
        {"role": "system", "content": "Today is Monday, November 30, 2026, 8:00 am."},
        {"role": "system", "content": text},
    )
    assert (prompts[0] == prompts[1]) is same


def test_who_does_not_ask_is_not_told():
    """In the request path nothing is looked at."""
    note_prompts(object(), [object()])
