"""What is no failure although it is raised, and what is one although nothing is."""

from aa_rows import call, shape
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse


def judged(value):
    """An experiment's own word: an apology is a failure, a missing order is none."""
    if isinstance(value, LookupError):
        return False
    return "it apologises" if isinstance(value, str) and value.startswith("sorry") else None


@shape(call("known"), call("unknown"))
def a_404(question):
    if question == "unknown":
        raise HTTPException(404, "no such order")
    return {"answer": question}


@shape()
def a_503(question):
    raise HTTPException(503, question)


@shape()
def a_redirect(question):
    return RedirectResponse(f"/{question}")


@shape(call("How?"), call("sorry"), call("missing"), options={"failures": judged})
def a_judged_answer(question):
    if question == "missing":
        raise LookupError(question)
    return question


@shape(call("sorry"), options={"failures": judged})
def a_judged_stream(question):
    yield question
    yield " for that"


def judged_by_its_form(value):
    """Says of everything whether it is a failure: never None."""
    return isinstance(value, dict) and "error" in value


def judged_as_a_mapping(value):
    """Knows what the pipeline returns, and nothing else."""
    return value.get("error")


@shape(call("How?"), call("down"), options={"failures": judged_by_its_form})
def a_value_judged_by_its_form(question):
    return {"error": "down"} if question == "down" else {"answer": question}


@shape(call("How?"), call("down"), options={"failures": judged_as_a_mapping})
async def a_value_judged_as_a_mapping(question):
    return {"error": "down"} if question == "down" else {"answer": question}


@shape(call("How?"), call("down"), options={"failures": judged_by_its_form})
def a_stream_judged_by_its_form(question):
    yield {"error": "down"} if question == "down" else {"answer": question}


@shape()
def chunks_that_replace_each_other(question):
    for end in (3, 6, 40):
        yield f"because of {question}"[:end]
