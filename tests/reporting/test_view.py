"""What the report says, as data, and the files made of it."""

import html
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from markdown_it import MarkdownIt

from shadoweval.records import Outcome, Scored, Unscored
from shadoweval.reporting.calls import answer_text
from shadoweval.reporting.charts import funnel_bar
from shadoweval.reporting.html import render, report
from shadoweval.reporting.markdown import markdown
from shadoweval.reporting.side_by_side import word_diff
from shadoweval.reporting.view import page
from shadoweval.testing import make_observation, make_query

sys.path.insert(0, str(Path(__file__).parent))
from sample import HOSTILE, evaluation


class Tags(HTMLParser):
    """Collects tags and attributes, and fails on tags that do not close."""

    VOID = frozenset({"meta", "input", "br", "link", "img", "rect", "line", "circle", "path"})

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(name="html", scope="module")
def _html():
    return render(evaluation(), command="shadoweval evaluate evals.docs:documentation")


def test_the_page_is_well_formed(html):
    """Every tag closes where it was opened."""
    tags = Tags()
    tags.feed(html)

    assert tags.open == []


def test_hostile_texts_stay_texts(html):
    """Whatever a query or an answer holds, the page has one script, no handler and no image."""
    tags = Tags()
    tags.feed(html)
    names = [name for name, _ in tags.seen]

    assert names.count("script") == 2  # one of them holds JSON
    assert "img" not in names
    assert not [a for _, attributes in tags.seen for a in attributes if a.startswith("on")]
    assert "{{ 7 * 7 }}" in html


def test_the_page_asks_the_network_for_nothing(html):
    """No address is loaded, and the policy forbids it too."""
    tags = Tags()
    tags.feed(html)

    named = [(a, str(value)) for _, attributes in tags.seen for a, value in attributes.items()]
    assert not [a for a, value in named if a in {"src", "href", "action"} and not value.startswith("#")]
    assert "default-src 'none'" in html


def test_the_verdict_comes_first_and_needs_no_script(html):
    """Decision, gates, funnel and proof stand in the markup itself."""
    text = re.sub(r"<script.*", "", html, flags=re.DOTALL)

    for words in ("HOLD", "recall@5 is better by 0.02", "3,000", "Adds up", "live writes by candidates"):
        assert words in text
    assert text.index("HOLD") < text.index("Gates") < text.index("Coverage")


def test_the_same_evaluation_makes_the_same_page():
    """Nothing on the page depends on when it was rendered."""
    assert render(evaluation()) == render(evaluation())


def test_a_funnel_that_does_not_add_up_says_so():
    """Calls that nobody accounts for are printed, not hidden."""
    whole = evaluation()
    coverage = whole.coverage["hybrid"]
    broken = type(coverage)(eligible=coverage.eligible + 5, mirrored=coverage.mirrored, paired=coverage.paired)
    html = render(
        type(whole)(**{**{f: getattr(whole, f) for f in whole.__struct_fields__}, "coverage": {"hybrid": broken}})
    )

    assert "not accounted for" in html


def test_report_writes_whole_files(tmp_path):
    """Folders are made, and no partial file is left."""
    path = report(evaluation(), tmp_path / "deep" / "r.html")

    assert path.read_text(encoding="utf-8").endswith("</html>")
    assert [p.name for p in path.parent.iterdir()] == ["r.html"]


def test_word_diff_marks_what_went_and_what_came():
    """Both sides put together are the two texts, and only changes are marked."""
    runs = word_diff("read the whole file", "read one line of the file")

    assert "".join(text for kind, text in runs if kind != "came") == "read the whole file"
    assert "".join(text for kind, text in runs if kind != "gone") == "read one line of the file"
    assert [text.strip() for kind, text in runs if kind == "gone"] == ["whole"]
    assert [text.strip() for kind, text in runs if kind == "came"] == ["one line of"]


def test_a_missing_number_is_a_dash_and_a_reason():
    """An unscored pair shows why, never a zero."""
    shown = page(evaluation())["verdicts"][0]["queries"]["worst"][0]["scores"]
    by_name = {name: (a, b) for name, a, b in shown}

    assert by_name["answer_quality"][1] == {"text": "unscored", "reason": "no reference answer"}


def test_markdown_escapes_tables():
    """A pipe or a tag in a name can't break the table."""
    text = markdown(evaluation())

    assert text.splitlines()[0] == "## documentation / hybrid: HOLD"
    assert "**critical**" in text


SPECIAL = ["![x](http://evil.example/p.png)", "<img src=x>", "[a](http://e.example)", "# head", "`code`", "a|b",
           "*b* _c_",
           "1. one", "&amp;", "a\n\n# head", "https://e.example www.e.example"]  # fmt: skip


@pytest.mark.parametrize("words", SPECIAL)
def test_markdown_shows_words_as_they_are(words):
    """Nothing in a user's or candidate's text makes an image, a link, a heading, a table's edge or a tag."""
    one = evaluation()
    verdict = msgspec.structs.replace(one.verdicts[0], reasons=(words,), notices=(words,), gates=())
    page = MarkdownIt("gfm-like", {"linkify": False}).render(
        markdown(msgspec.structs.replace(one, verdicts=(verdict,)))
    )

    assert not re.search("<(img|a|em|strong|code|h1|ol)[ >]", page)
    assert page.count(html.escape(" ".join(words.split()))) == 2


def test_markdown_calls_nobody():
    """Who is named in a text is not notified."""
    one = evaluation()
    verdict = msgspec.structs.replace(one.verdicts[0], reasons=("ask @anna",))

    assert "@anna" not in markdown(msgspec.structs.replace(one, verdicts=(verdict,)))


def test_charts_escape_labels():
    """Names go through the escaper."""
    bar = funnel_bar([(HOSTILE[0], 3, "lost")], label=HOSTILE[1])

    assert "<script" not in bar
    assert "&lt;script" in bar


def test_unscored_and_scored_are_told_apart():
    """The sample holds both, so that the tests above see both."""
    scores = [s for e in evaluation().examples["hybrid"] for pair in e.scores.values() for s in pair]

    assert {type(s) for s in scores} == {Scored, Unscored}


def test_a_value_that_is_no_text_is_shown():
    """A pipeline that returns a table or a number has no answer, but something to look at."""
    query = make_query()
    observation = make_observation(query, outcome=Outcome(answer=None, value=[[1, 2], [3, 4]]))
    assert answer_text(observation) == "[[1, 2], [3, 4]]"
    assert answer_text(make_observation(query, answer="said")) == "said"
