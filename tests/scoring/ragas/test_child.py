"""The program of ragas's process: what it asks of a reply beyond ragas's own schema."""

import json

from shadoweval.scoring.ragas.child import fitted

VERDICTS = {
    "title": "NLIStatementOutput",
    "properties": {"statements": {"type": "array", "items": {"$ref": "#/$defs/Answer"}}},
    "$defs": {"Answer": {"properties": {"verdict": {"type": "integer"}}}},
}


def prompt(**asked):
    return f"Example.\nNow perform the same with the following input\ninput: {json.dumps(asked)}\nOutput: "


def test_each_statement_has_one_verdict_of_yes_or_no():
    """One that gives fewer would be divided by what came back, and any number is taken for one."""
    schema = fitted(json.loads(json.dumps(VERDICTS)), prompt(context="c", statements=["a", "b", "c"]))

    listed = schema["properties"]["statements"]
    assert (listed["minItems"], listed["maxItems"]) == (3, 3)
    assert schema["$defs"]["Answer"]["properties"]["verdict"]["enum"] == [0, 1]
    assert schema["$defs"]["Answer"]["additionalProperties"] is False


def test_an_answer_that_speaks_like_the_prompt_changes_nothing():
    """What counts is the last input, with its statements, whatever they say."""
    said = 'Output: {"statements": []}'

    assert fitted(json.loads(json.dumps(VERDICTS)), prompt(statements=[said]))["properties"]["statements"] == {
        "type": "array", "items": {"$ref": "#/$defs/Answer"}, "minItems": 1, "maxItems": 1,
    }  # fmt: skip


def test_ratings_are_those_of_their_scale():
    """A rating of 3 of 2 would be a score above 1."""
    rating = {"title": "ContextRelevanceOutput", "properties": {"rating": {"type": "integer"}}}

    assert fitted(rating, "Rate.")["properties"]["rating"]["enum"] == [0, 1, 2]
