"""The same content as JSON, JUnit XML and Markdown, and how much of users' words each carries."""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from markdown_it import MarkdownIt

from shadoweval.errors import ArgumentError
from shadoweval.records import QueryTable
from shadoweval.reporting.document import document
from shadoweval.reporting.html import render
from shadoweval.reporting.junit import junit
from shadoweval.reporting.markdown import markdown
from shadoweval.reporting.rows import row_of

sys.path.insert(0, str(Path(__file__).parent))
from sample import HOSTILE, evaluation, gate

DOCS = Path(__file__).parents[2] / "docs" / "report.md"
WORDS = ("line by line", "Iterate over", "Loop over", "beginner", "no answer within", *(text[:12] for text in HOSTILE))


@pytest.fixture(name="listed", scope="module")
def _listed():
    one = evaluation(count=12)
    examples = one.examples["hybrid"]
    table = QueryTable(rows=tuple(map(row_of, examples)), details=examples, pairs=40, critical=3)
    slices = {"hybrid": tuple(msgspec.structs.replace(each, slice="part") for each in one.slices["hybrid"])}
    gates = (
        gate("recall@5 is better by 0.02", "open", kind="better"),
        gate("answer_quality is no worse by 0.01", "holds"),
        gate("tool_success is no worse by 0.005", "broken", critical=True),
        gate("cost is at most 0.02", "error", difference=None, lower=None, upper=None, reason="no score at all"),
    )
    verdict = msgspec.structs.replace(one.verdicts[0], decision="hold", why="inconclusive", gates=gates)
    return msgspec.structs.replace(one, queries={"hybrid": table}, slices=slices, verdicts=(verdict,))


def test_the_document_holds_what_the_report_shows_and_each_field_is_documented(listed):
    """Its schema has a number; every name in it stands in docs/report.md."""
    content = json.loads(document(listed))
    (verdict,) = content["verdicts"]
    queries, documented = verdict["queries"], DOCS.read_text(encoding="utf-8")

    assert content["schema"] == "shadoweval.report/1"
    assert (queries["pairs"], queries["shown"], len(queries["rows"]), len(queries["details"])) == (40, 12, 12, 12)
    assert queries["rows"][0]["scores"]["answer_quality"] == [0.4, {"unscored": "no reference answer"}]
    assert verdict["gates"][2]["state"] == "broken"
    assert verdict["coverage"]["eligible"] == 3000
    names = {*content, *verdict, *queries, *queries["rows"][0], *queries["details"][0]}
    assert [name for name in sorted(names) if f"`{name}`" not in documented] == []


@pytest.mark.parametrize("form", [document, junit, markdown, render])
def test_a_report_without_texts_holds_no_word_of_a_user(listed, form):
    """Neither queries nor answers, attributes, references, arguments, messages; ids, tools and documents remain."""
    content = form(listed, texts="none")
    if form is render:  # what is packed is what the document shows
        content = re.sub(r'("blocks"|"details"):\[[^\]]*\]', "", content)

    assert [words for words in WORDS if words in content] == []
    if form in (document, render):
        assert "io.TextIOBase.readline" in content
        assert "refund" in content


def test_beginnings_are_short_and_all_is_all(listed):
    """`short` is the first 160 characters of any text."""
    long = msgspec.structs.replace(listed.examples["hybrid"][0], text="word " * 400)
    one = msgspec.structs.replace(listed, queries={"hybrid": QueryTable(rows=(row_of(long),), details=(long,))})
    short, full = (json.loads(document(one, texts=texts)) for texts in ("short", "full"))

    assert len(short["verdicts"][0]["queries"]["details"][0]["text"]) == 160
    assert len(full["verdicts"][0]["queries"]["details"][0]["text"]) > 600
    with pytest.raises(ArgumentError, match="texts"):
        render(listed, texts="all")


def test_markdown_and_junit_carry_no_words_unless_asked(listed):
    """They go where others read them."""
    assert "line by line" not in markdown(listed) + junit(listed)
    losing = msgspec.structs.replace(listed.examples["hybrid"][0], why="largest loss")
    one = msgspec.structs.replace(listed, queries={"hybrid": QueryTable(details=(losing,))})
    assert "line by line" in markdown(one, texts="short")


def test_markdown_of_hostile_queries_is_text(listed):
    """With all texts, no image, link, heading or tag comes of them; and GitHub takes its length."""
    texts = [*HOSTILE, "![x](http://e.example)", "# head"]
    losing = [msgspec.structs.replace(each, why="largest loss") for each in listed.examples["hybrid"]]
    details = tuple(msgspec.structs.replace(e, text=text) for e, text in zip(losing, texts, strict=False))
    one = msgspec.structs.replace(listed, queries={"hybrid": QueryTable(details=details)})
    page = MarkdownIt("gfm-like", {"linkify": False}).render(markdown(one, texts="full"))

    assert not re.search("<(img|a|script|em|code|h1)[ >]", page)
    many = msgspec.structs.replace(one, verdicts=one.verdicts * 300)
    assert len(markdown(many).encode()) <= 61_000


def test_junit_says_each_gate_and_the_verdict(listed):
    """A proven break fails, missing evidence is an error, the undecided is skipped; no control character breaks it."""
    verdict = msgspec.structs.replace(listed.verdicts[0], reasons=("bad \x00\x1b[31m & <b>",))
    root = ET.fromstring(junit(msgspec.structs.replace(listed, verdicts=(verdict,))))
    (suite,) = root
    ends = {
        case.get("name"): [part.tag for part in case if part.tag != "system-out"] for case in suite.iter("testcase")
    }

    assert ends == {
        "verdict": ["skipped"],
        "recall@5 is better by 0.02": ["skipped"],
        "answer_quality is no worse by 0.01": [],
        "tool_success is no worse by 0.005": ["failure"],
        "cost is at most 0.02": ["error"],
    }
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["5", "1", "1", "2"]
