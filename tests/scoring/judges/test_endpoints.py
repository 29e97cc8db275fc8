"""Where a judge is asked: clients of one's own, and models that want other parameters."""

from types import SimpleNamespace

from shadoweval.scoring import Judge, Message, Question

SCHEMA = {"type": "object", "properties": {"level": {"type": "integer"}}, "required": ["level"]}


class UnsupportedParameter(Exception):
    status_code = 400


class Client:
    """As much of a client as a judge uses; it wants `max_completion_tokens`, as reasoning models do."""

    def __init__(self):
        self.asked, self.closed, self.retries = [], False, None
        self.chat = SimpleNamespace(completions=self)

    def with_options(self, *, max_retries):
        self.retries = max_retries
        return self

    async def create(self, **options):
        self.asked.append(options)
        if "max_tokens" in options:
            raise UnsupportedParameter("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        message = SimpleNamespace(content='{"level": 1}', refusal=None)
        return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason="stop")], usage=None)

    async def close(self):
        self.closed = True


def question(number):
    return Question(messages=(Message("user", f"{number}"),), schema=SCHEMA, name="grade", query_id=f"q-{number}")


def test_a_client_of_ones_own_is_asked_and_closed():
    """Azure's, a proxy's: made by a function, without retries of its own, closed when the asking ends."""
    client = Client()

    said = Judge("m", client=lambda: client, concurrency=1).ask_many([question(1), question(2)])

    assert [each.content for each in said] == [{"level": 1}] * 2
    assert (client.retries, client.closed) == (0, True)


def test_a_model_that_wants_the_length_under_another_name_gets_it():
    """And keeps its strict schema; the next questions are asked rightly at once."""
    client = Client()

    Judge("m", client=lambda: client, max_tokens=70, concurrency=1).ask_many([question(1), question(2)])

    lengths = [(each.get("max_tokens"), each.get("max_completion_tokens")) for each in client.asked]
    assert lengths == [(70, None), (None, 70), (None, 70)]
    assert {each["response_format"]["type"] for each in client.asked} == {"json_schema"}


def test_an_endpoint_that_does_not_count_is_reckoned_with_by_characters():
    """Tokens are characters / 4, so that a budget holds there too."""
    (said,) = Judge("m", client=Client, price=(4e6, 4e6)).ask_many([question(1)])

    assert (said.usage.input_tokens, said.usage.output_tokens) == (1, 4)
    assert said.usage.usd == 20.0
