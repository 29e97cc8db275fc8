"""Handlers as frameworks call them: with a request, an event, something to say."""

from dataclasses import dataclass
from typing import Any

from aa_rows import add, call

SAYING = {"mirroring": {"ignore": ["say"]}}
REQUESTED = {"mirroring": {"ignore": ["request"]}}


class Request:
    """Holds what can't be copied."""

    def __init__(self) -> None:
        self.stream = iter("body")


def flask_view(question):
    return {"answer": f"because of {question}"}, 200


def slack_mention(event, say=None):
    answer = f"because of {event['text']}"
    if say is not None:
        say(answer)
    return answer


def django_view(request=None, question=""):
    del request
    return f"because of {question}"


def gradio_chat(message, history):
    for end in range(1, 4):
        yield f"because of {message} {len(history)}"[: end * 20]


@dataclass
class Task:
    """As a task of Celery's below the mirror's decorator would be called by its worker."""

    name: str = "answer"

    def __call__(self, question: str) -> Any:
        return f"because of {question}"

    def again(self) -> None: ...


task = Task()

add(__name__, "flask_view", flask_view)
add(
    __name__, "slack_mention", slack_mention, call({"text": "How?"}, print), call({"text": "Why?"}, say=print), **SAYING
)
add(
    __name__,
    "django_view",
    django_view,
    call(Request(), question="How?"),
    call(request=Request(), question="Why?"),
    **REQUESTED,
)
add(__name__, "gradio_chat", gradio_chat, call("How?", [["a", "b"]]))
add(__name__, "task", task)
