"""Citations in their usual forms are found, and held against what was retrieved."""

import pytest

from shadoweval.records import Hit, Outcome, Scored, Step, Unscored
from shadoweval.scoring import citations
from shadoweval.scoring.citations import citations_of, without_citations
from shadoweval.testing import make_pair

HITS = (
    Hit(id="doc-7", rank=1, text="The shop opens at nine in the morning on weekdays."),
    Hit(id="policies/returns.md#2", rank=2, text="# Return policy\nItems can be returned within 30 days."),
    Hit(id="https://www.example.com/faq/?utm_source=x", rank=3, text="See https://docs.example.org/a for more."),
)


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        ("It opens at nine [1].", [True]),
        ("It opens at nine[1][2].", [True, True]),
        ("[1, 3] and [4]", [True, True, False]),
        ("[1-3]", [True, True, True]),
        ("[1], as [1] says", [True]),
        ("at nine [doc-7]", [True]),
        ("at nine [Doc-7; doc-99]", [True, False]),
        ("at nine (doc-7)", [True]),
        ("(source: doc-7)", [True]),
        ("(Quelle: doc-8; returns.md)", [False, True]),
        ("At nine. (Source: Return policy)", [True]),
        ("**Sources:** doc-7, policies/returns.md", [True, True]),
        ("\u51fa\u5178\uff1adoc-7", [True]),
        ("see https://example.com/faq.", [True]),
        ("see https://docs.example.org/a", [True]),
        ("see https://evil.example/x", [False]),
        ("as [the FAQ](https://example.com/faq) says", [True]),
        ("at nine.[^1]\n\n[^1]: doc-7", [True]),
        ("at nine.[^1]\n\n[^1]: https://evil.example/x", [False]),
        ("at nine [1][2]\n\nReferences:\n[1] doc-7\n[2] Some other paper", [True, False]),
        ("at nine.\u00b9 On weekdays\u2075", [True, False]),
        ("\u30101\u2020source\u3011", [True]),
        ("\u30104:0\u2020faq\u3011 \u30104:1\u2020other.pdf\u3011", [True, False]),
        ("[Document 2] and [doc 9]", [True, False]),
    ],
)
def test_a_citation_points_to_a_hit_or_not(answer, points):
    """Each is counted once; a name that is written as ids are, and is none, points nowhere."""
    assert list(citations_of(answer, HITS).values()) == points


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "It opens at nine.",
        "5 m\u00b2 in 3 km\u00b2",
        "[sic] [note] [x] and [ ]",
        "(1) open (2) close",
        "in [2020]",
        "`items[1]`\n```\nitems[2]\n```",
        "- [x] done\n- [ ] to do",
    ],
)
def test_what_looks_alike_is_none(answer):
    """Code, lists, units, years and remarks in brackets cite nothing."""
    assert citations_of(answer, HITS) == {}


@pytest.mark.parametrize(
    ("value", "points"),
    [
        ({"citations": ["doc-7", "doc-8"]}, [True, False]),
        ({"citations": [{"url": "https://example.com/faq"}, {"id": "doc-9"}]}, [True, False]),
        ({"citations": [{"start": 0, "end": 3, "text": "It", "document_ids": ["doc-7"]}]}, [True]),
        ({"content": [{"text": "x", "citations": [{"type": "char_location", "document_index": 0}]}]}, [True]),
        ({"content": [{"text": "x", "citations": [{"cited_text": "opens at  nine"}]}]}, [True]),
        ({"messages": [{"annotations": ["doc-7"]}, {"annotations": [{"file_id": "doc-8", "index": 1}]}]}, [False]),
        (
            {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://evil.example", "title": "e"}}]},
            [False],
        ),
        ({"annotations": [{"type": "moderation", "flagged": False}]}, []),
        ({"answer": "x", "documents": [{"id": "doc-8", "citations": ["doc-9"]}]}, []),
        ("text", []),
        (None, []),
    ],
)
def test_messages_carry_citations(value, points):
    """As OpenAI, Anthropic, Cohere and LangChain put them; of several messages the last is the answer."""
    assert list(citations_of("at nine", HITS, value).values()) == points


SEARCHED = (Step(kind="retrieval", name="search"),)


def score(answer, hits=HITS, steps=SEARCHED):
    (made,) = citations().score(make_pair(shadow={"outcome": Outcome(answer=answer, hits=hits), "steps": steps}))
    return made.candidate


def test_the_score_is_the_share_that_points_to_something():
    """An answer that cites nothing has none."""
    assert score("nine [1] [9]") == Scored(0.5)
    assert score("nine") == Scored(0.0)
    assert score("") == Scored(0.0)
    assert score("nine [1]", hits=()) == Scored(0.0)


def test_without_retrieval_nothing_can_be_cited():
    """A run that searched and found nothing, and cites nothing, is no bad one."""
    assert "nothing is cited" in score("nine", hits=()).reason
    assert "no retrieval was recorded" in score("nine", hits=(), steps=()).reason
    assert isinstance(score(None), Unscored)


def test_what_is_said_is_left():
    """Marks, footnotes and lines of sources are no words of the answer."""
    answer = "At nine [1] [doc-7], [as ever](https://a.example).\u00b9 `x[1]` [sic]\n[^1]: doc-7\nSources: doc-7"
    assert without_citations(answer, HITS).split() == ["At", "nine", ",", "as", "ever.", "`x[1]`", "[sic]"]


@pytest.mark.parametrize(
    "text", ["\n", "- \n", "[1] x\n", "[^a] x\n", "source: x\n", "abc\u00b2", "[x](a ", "\u00b2"], ids=ascii
)
def test_a_long_answer_is_read_in_time(text, grows):
    """Eight times as long takes some eight times as long, whatever an answer is made of."""
    assert isinstance(score(text * 2_000), Scored)
    assert grows(score, text * 2_000, text * 16_000) < 30
