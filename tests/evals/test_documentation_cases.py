"""The labelled questions: well formed, honest, apart from each other, and pointing at documents that exist."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipelines.corpus import passages

EVALS = Path(__file__).parents[2] / "evals"
LABELLED_ON = (3, 11, 7)  # The Python whose documentation was read when the labels were given.
STYLES = {"howto", "why", "which", "error", "concept"}
LEVELS = {"beginner", "intermediate", "advanced"}


def read(name):
    return [json.loads(line) for line in (EVALS / name).read_text("utf-8").splitlines()]


REPORTED = read("documentation.jsonl")
TUNING = read("documentation_tuning.jsonl")
CASES = REPORTED + TUNING


@pytest.fixture(scope="module")
def texts():
    return {passage.id: passage.text for passage in passages()}


def normalised(query):
    return " ".join(sorted(re.findall(r"\w+", query.casefold())))


def runs(text, length=8):
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def test_there_are_enough_questions():
    """At least 240 different questions are reported, and 60 are kept apart for tuning."""
    assert len({normalised(case["query"]) for case in REPORTED}) >= 240
    assert len(TUNING) == 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case_has_all_parts(case):
    """A case has a question, attributes to slice by, graded documents with a full answer, and a reference."""
    assert set(case) == {"id", "query", "attributes", "relevant", "reference"}
    assert set(case["attributes"]) == {"area", "topic", "style", "level"}
    assert case["attributes"]["style"] in STYLES
    assert case["attributes"]["level"] in LEVELS
    assert case["attributes"]["topic"].strip()
    assert 2 in case["relevant"].values()
    assert set(case["relevant"].values()) <= {1, 2}
    assert case["query"] == case["query"].strip() != ""
    assert case["reference"].strip()


def test_ids_and_queries_are_unique_across_both_splits():
    """No question stands twice, not even with other punctuation, case or word order."""
    assert max(Counter(case["id"] for case in CASES).values()) == 1
    assert max(Counter(normalised(case["query"]) for case in CASES).values()) == 1


def test_labelled_documents_exist(texts):
    """Every label points at a document of this Python; on other versions at least 95 % do."""
    labels = [name for case in CASES for name in case["relevant"]]
    missing = [name for name in labels if name not in texts]
    allowed = 0 if sys.version_info[:3] == LABELLED_ON else 0.05 * len(labels)
    assert len(missing) <= allowed, missing


def test_no_question_copies_its_document(texts):
    """No eight words in a row are taken from a document that answers the question."""
    copied = [
        (case["id"], name)
        for case in CASES
        for name in case["relevant"]
        if runs(case["query"]) & runs(texts.get(name, ""))
    ]
    assert copied == []


def test_questions_are_spread():
    """Many topics, all styles and levels, and no area with more than a quarter of the reported questions."""
    assert len({case["attributes"]["topic"] for case in REPORTED}) >= 100
    assert {case["attributes"]["style"] for case in REPORTED} == STYLES
    assert {case["attributes"]["level"] for case in REPORTED} == LEVELS
    areas = Counter(case["attributes"]["area"] for case in REPORTED)
    assert max(areas.values()) <= len(REPORTED) / 4
    assert min(areas.values()) >= 5


def test_most_questions_avoid_the_answers_name():
    """Users rarely know the name they look for: most questions do not contain that of a full answer."""
    named = 0
    for case in CASES:
        words = set(re.findall(r"\w+", case["query"].casefold()))
        names = {name.split("#")[0].split(".")[-1].casefold() for name, grade in case["relevant"].items() if grade == 2}
        named += bool(words & names)
    assert named < len(CASES) / 2
