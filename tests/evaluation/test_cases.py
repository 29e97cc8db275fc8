"""Case files."""

import json

import pytest

from shadoweval.capture.wire.questions import arguments_by_name, identity_of
from shadoweval.codec import freeze, thaw
from shadoweval.errors import CaseFileError
from shadoweval.evaluation.cases import labels_of, queries_of, read_cases
from shadoweval.records import query_key
from shadoweval.store import SqlStore

GOOD = (
    '{"id": "a", "query": "why?", "relevant": {"d1": 2, "d2": 0}, "reference": "because",'
    ' "attributes": {"plan": "free"}}\n'
    "\n"
    '{"query": "refund 7", "inputs": {"question": "refund 7", "customer": "c1"}, "unit": "c1",'
    ' "expected_calls": [{"name": "refund", "arguments": {"order": 7}, "effect": "write"}]}\n'
)


def written(tmp_path, text):
    file = tmp_path / "cases.jsonl"
    file.write_text(text, encoding="utf-8")
    return file


def test_reads_what_people_said(tmp_path):
    """Judgements, references and expected calls come back as labels by the query's key."""
    labels = labels_of(read_cases(written(tmp_path, GOOD)))

    assert labels[query_key("why?")].relevant == {"d1": 2, "d2": 0}
    assert labels[query_key("refund 7")].expected_calls[0].arguments == {"order": 7}


def test_makes_queries_as_the_mirror_would(tmp_path):
    """Inputs are the keyword arguments, or the text where there are none."""
    first, second = queries_of(read_cases(written(tmp_path, GOOD)), entry="m:f")

    assert thaw(first.inputs) == (("why?",), {})
    assert thaw(second.inputs) == ((), {"question": "refund 7", "customer": "c1"})
    assert (first.id, second.id, second.unit, first.entry) == ("a", "case-2", "c1", "m:f")


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ('{"query": "a"}\n{"query": }\n', 2, "no JSON object"),
        ('{"query": "a"}\n\n{"question": "b"}\n', 3, "unknown field `question`"),
        ('{"reference": "b"}\n', 1, "missing required field `query`"),
        ('{"query": "a", "relevant": {"d": "high"}}\n', 1, "Expected `int`"),
        ('{"query": " "}\n', 1, "'query' is empty"),
        ('{"query": "a"}\n{"query": "a"}\n', 2, "stands in line 1 already"),
        ('{"id": "x", "query": "a"}\n{"id": "x", "query": "b"}\n', 2, "id 'x' stands in line 1"),
        ("\n", 0, "holds no case"),
        ("[1]\n", 1, "Expected `object`"),
    ],
)
def test_names_the_line(tmp_path, text, line, complaint):
    """What can't be read is an error with file, line and reason; nothing is skipped in silence."""
    with pytest.raises(CaseFileError, match=complaint) as caught:
        read_cases(written(tmp_path, text))

    assert caught.value.line == line
    assert caught.value.path.endswith("cases.jsonl")


def test_cases_that_differ_in_case_or_inputs_keep_their_own_labels(tmp_path):
    """What labels go by tells cases apart as the pipeline does; where a text says it not, the inputs do."""
    text = (
        '{"query": "How?", "reference": "first"}\n{"query": "how?", "reference": "second"}\n'
        '{"query": "quote", "inputs": {"kg": 1}, "reference": "a"}\n'
        '{"query": "quote", "inputs": {"kg": 2}, "reference": "b"}\n'
    )
    cases = read_cases(written(tmp_path, text))
    labels = labels_of(cases)

    queries = list(queries_of(cases, entry="m:f"))
    found = [labels.get(query.key) or labels[query.text_key] for query in queries]
    assert [label.reference for label in found] == ["first", "second", "a", "b"]
    assert labels[query_key("How?")].reference == "first"
    assert query_key("quote") not in labels


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_only_newlines_end_a_line(tmp_path, separator):
    """JSON may hold other separators as they are, and an editor may write a byte-order mark and CRLF."""
    file = tmp_path / "cases.jsonl"
    query = f"one{separator}two"
    line = f'{{"query": "{query}"}}' if ord(separator) > 0x1F else json.dumps({"query": query})
    file.write_text(f'\ufeff{line}\r\n{{"query": "next"}}\r\n', encoding="utf-8", newline="")

    assert [case.query for case in read_cases(file)] == [query, "next"]


def test_a_missing_file_is_named(tmp_path):
    """No such file is an error of ours that names it."""
    with pytest.raises(CaseFileError, match="can't be read"):
        read_cases(tmp_path / "none.jsonl")


def test_several_references(tmp_path):
    """Right answers beside each other; `reference` may be one of them."""
    (case,) = read_cases(written(tmp_path, '{"query": "q", "reference": "42", "references": ["forty-two", "42"]}'))

    assert case.labels.references == ("42", "forty-two")


@pytest.mark.parametrize("wrong", ['"forty-two"', "[42]", "null"])
def test_references_are_a_list_of_texts(tmp_path, wrong):
    """One text is `reference`; anything but a list of texts is refused with the line."""
    with pytest.raises(CaseFileError, match=r"line 1.*references"):
        read_cases(written(tmp_path, f'{{"query": "q", "references": {wrong}}}'))


def test_half_a_character_is_no_reason_to_refuse_a_file(tmp_path):
    """What an exporter wrote of a text that was cut in the middle of an emoji joins the query that was asked so."""
    half = "Nice \ud83d"
    line = {
        "id": half, "query": half, "inputs": {"question": half}, "attributes": {half: half}, "unit": half,
        "relevant": {half: 1}, "references": [half], "expected_calls": [{"name": half, "arguments": {half: half}}],
    }  # fmt: skip
    file = tmp_path / "cases.jsonl"
    file.write_text(json.dumps(line) + "\n" + json.dumps({"query": "whole \U0001f600"}))
    case, whole = read_cases(file)
    query = next(queries_of((case,), entry="app:answer"))
    assert (case.labels.relevant, case.labels.references) == ({"Nice ?": 1}, ("Nice ?",))
    assert (query.id, query.text, query.unit, query.attributes) == ("Nice ?", "Nice ?", "Nice ?", {"Nice ?": "Nice ?"})
    assert thaw(query.inputs) == ((), {"question": half})
    assert whole.query == "whole \U0001f600"
    asked = identity_of(arguments_by_name(freeze(((), {"question": half})), ()))
    with SqlStore(f"sqlite:///{tmp_path}/labels.db") as store:
        assert store.add_labels(labels_of((case,))) == 2
    assert {query_key(half), asked} == set(labels_of((case,)))


def test_a_line_that_is_cut_is_none(tmp_path):
    """Half a character in it does not make it one."""
    file = tmp_path / "cases.jsonl"
    file.write_text('{"query": "Nice \\ud83d')
    with pytest.raises(CaseFileError, match="this is no JSON object"):
        read_cases(file)


def test_a_mark_in_a_case_file_says_where_it_belongs(tmp_path):
    """Cases are about questions; a mark is about an answer that is stored."""
    line = '{"id": "q-1", "arm": "new", "mark": "correct", "annotator": "ann", "query": "q"}'
    with pytest.raises(CaseFileError, match=r"line 1: .*marks for answers come by `shadoweval labels`"):
        read_cases(written(tmp_path, line))
