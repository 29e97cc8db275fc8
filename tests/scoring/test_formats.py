"""The format of an answer is named as its reader meets it, and is right or not."""

import pytest

from shadoweval.errors import ArgumentError
from shadoweval.records import Outcome, Scored, Unscored
from shadoweval.scoring import format as format_scorer
from shadoweval.scoring.formats import format_of
from shadoweval.testing import make_pair

SCHEMA = {
    "type": "object",
    "properties": {"opens": {"type": "integer"}, "type": {"type": "string"}},
    "required": ["opens"],
}


def score(scorer, answer, **outcome):
    (made,) = scorer.score(make_pair(shadow={"outcome": Outcome(answer=answer, **outcome)}))
    return made.candidate


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ('{"a": 1}', "JSON"),
        ('\n [{"a": 1}]\n', "JSON"),
        ('```json\n{"a": 1}\n```', "JSON in a code fence"),
        ('```\n{"a": 1}```\n', "JSON in a code fence"),
        ("~~~json\n[]\n~~~", "JSON in a code fence"),
        ('Here it is:\n```json\n{"a": 1}\n```\nDone.', "JSON amid text"),
        ('{"a": 1,}', "broken JSON"),
        ('{"a": NaN}', "broken JSON"),
        ('{"a": "\ud83d"}', "broken JSON"),
        ("[" * 100_000 + "]" * 100_000, "broken JSON"),
        ("[sic] and [1]", "text"),
        ("{curly}", "text"),
        ("# Title\n- one", "Markdown"),
        ("It is **nine**.", "Markdown"),
        ("```python\nx = 1\n```", "Markdown"),
        ("at nine", "text"),
        ("5", "text"),
        ("", "text"),
    ],
)
def test_a_format_has_a_name(answer, kind):
    """A wrapping around JSON is another format than JSON."""
    assert format_of(answer) == kind


@pytest.mark.parametrize(
    ("answer", "bare", "fenced"),
    [
        ('{"opens": 9}', 1.0, 1.0),
        ('{"opens": 9.0, "type": "shop"}', 1.0, 1.0),
        ('```json\n{"opens": 9}\n```', 0.0, 1.0),
        ('{"opens": "nine"}', 0.0, 0.0),
        ("{}", 0.0, 0.0),
        ("at nine", 0.0, 0.0),
        ("null", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_what_fits_the_schema_is_right(answer, bare, fenced):
    """Whether a fence is taken off is said by the scorer."""
    assert score(format_scorer(SCHEMA), answer) == Scored(bare)
    assert score(format_scorer(SCHEMA, fenced=True), answer) == Scored(fenced)


def test_without_a_schema_any_object_or_list_is_right():
    """And a pipeline that returns data is taken by its data."""
    assert [score(format_scorer(), each).value for each in ('{"a": 1}', "[1]", '"nine"', "9")] == [1, 1, 0, 0]
    assert score(format_scorer(SCHEMA), None, value={"opens": 9}) == Scored(1.0)
    assert isinstance(score(format_scorer(), None), Unscored)


def test_a_misspelt_type_is_an_error_where_it_is_written():
    """With the word that was meant; a property that is called type is none."""
    with pytest.raises(ArgumentError, match="Did you mean 'integer'"):
        format_scorer({"properties": {"opens": {"type": "intger"}}})
    with pytest.raises(ArgumentError, match="a Mapping"):
        format_scorer('{"type": "object"}')
    format_scorer({"properties": {"type": {"enum": ["x"], "default": {"type": "y"}}}})


def test_a_schema_that_is_none_or_lies_elsewhere_is_a_reason():
    """It is looked at where jsonschema is, and nothing is fetched."""
    assert "SchemaError" in score(format_scorer({"minimum": "one"}), "{}").reason
    assert isinstance(score(format_scorer({"$ref": "http://127.0.0.1:9/schema.json"}), "{}"), Unscored)


def test_the_version_goes_by_schema_and_fence():
    """Another schema scores otherwise, so it has another version."""
    made = [format_scorer(), format_scorer(fenced=True), format_scorer(SCHEMA), format_scorer({"type": "object"})]
    assert len({scorer.version for scorer in made}) == 4
    assert format_scorer(SCHEMA).version == format_scorer(dict(reversed(SCHEMA.items()))).version


def test_a_long_answer_is_read_in_time(grows):
    """Spaces in a code fence are read once."""

    def read(length):
        answer = f"```\n{' ' * length}x```y"
        assert format_of(answer) == "Markdown"
        assert score(format_scorer(fenced=True), answer) == Scored(0.0)

    assert grows(read, 5_000, 40_000) < 30
