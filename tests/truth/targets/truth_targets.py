"""An incumbent and candidates, each of which is good or bad in a way that the truth table knows."""

import shadoweval


@shadoweval.tool(effect="read")
def look(word):
    return f"about {word}"


@shadoweval.tool(effect="write")
def book(word):
    return f"booked {word}"


def incumbent(q):
    look(q)
    return f"the answer to {q} is {len(q)}"


def same(q):
    look(q)
    return f"the answer to {q} is {len(q)}"


def empty(q):
    look(q)
    return ""


def falls_silent(q):
    look(q)
    return "" if int(q.split()[1]) >= 112 else f"the answer to {q} is {len(q)}"


def crashes_on_yes(q):
    look(q)
    if q == "yes":
        raise ValueError(q)
    return f"the answer to {q} is {len(q)}"


def crashes_often(q):
    look(q)
    if hash_of(q) % 2:
        raise ValueError(q)
    return f"the answer to {q} is {len(q)}"


def other_numbers(q):
    look(q)
    return f"the answer to {q} is {len(q) + 1}"


def books(q):
    look(q)
    book(q)
    return f"the answer to {q} is {len(q)}"


def no_text(q):
    look(q)
    return 7


def looks_up_nothing(q):
    return f"the answer to {q} is {len(q)}"


def refuses(q):
    look(q)
    return f"I'm sorry, but I can't tell you about {q}."


@shadoweval.retriever
def find(q):
    return [{"id": f"doc-{hash_of(q)}", "text": f"the answer to {q} is {len(q)}"}]


def cites(q):
    (document,) = find(q)
    return f"the answer to {q} is {len(q)} [{document['id']}]"


def cites_by_rank(q):
    find(q)
    return f"{len(q)} is the answer to {q}.\n\nSources: [1]"


def makes_it_up(q):
    find(q)
    return "elephants dance [doc-0]"


def in_json(q):
    return f'{{"answer": {len(q)}}}'


def in_fenced_json(q):
    return f'```json\n{{"answer": {len(q)}}}\n```'


def hash_of(text):
    return sum(map(ord, text))
