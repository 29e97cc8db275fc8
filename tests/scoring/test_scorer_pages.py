"""Each scorer has a page: formula, source, range, what is unscored, and an example that runs."""

import re
import typing
from pathlib import Path

import pytest

from shadoweval import scoring
from shadoweval.errors import MissingExtraError

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs/scorers"
HEADINGS = ["Formula", "Source", "Range and direction", "Unscored when", "Example"]
FENCED = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LONGEST = 25


def is_scorer_maker(function):
    """Whether it is a function that returns a scorer."""
    if isinstance(function, type) or not callable(function):
        return False
    made = typing.get_type_hints(function).get("return")
    return isinstance(made, type) and hasattr(made, "score")


SCORERS = sorted(name for name in scoring.__all__ if is_scorer_maker(getattr(scoring, name)))


def test_functions_that_make_scorers_are_told_from_others():
    """Those that make scorers are asked for a page; classes and other functions are not."""
    assert {"latency", "recall", "writes", "human_preference"} <= set(SCORERS)
    assert not {"PairScorer", "SentenceModel", "keep_objects"} & set(SCORERS)


def test_each_scorer_has_a_page():
    """And no page is left of a scorer that is gone."""
    assert {page.stem for page in PAGES.glob("*.md")} == set(SCORERS)


def test_the_index_names_each_page():
    """The table of docs/scorers.md links to each of them, once."""
    rows = [line for line in (ROOT / "docs/scorers.md").read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    linked = re.findall(r"\]\(scorers/(\w+)\.md\)", "\n".join(rows))

    assert sorted(linked) == sorted(page.stem for page in PAGES.glob("*.md"))


def test_the_code_of_the_index_runs():
    """The blocks of docs/scorers.md, one after the other."""
    names = {"__name__": "scorers"}
    for code in FENCED.findall((ROOT / "docs/scorers.md").read_text(encoding="utf-8")):
        exec(compile(code, "docs/scorers.md", "exec"), names)

    assert names["letters"].metrics[0].name == "letters"
    assert {"token_f1", "token_f1_words"} <= set(names["twice"].metrics)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
class TestEveryPage:
    def test_says_what_a_reader_asks(self, page):
        """It begins with the scorer's name, and has all headings in their order."""
        lines = page.read_text(encoding="utf-8").splitlines()

        assert lines[0] == f"# {page.stem}"
        assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == HEADINGS

    def test_has_an_example_that_runs(self, page, capsys):
        """It is short, needs the package and at most an extra, and shows or asserts a result of this very scorer."""
        (code,) = FENCED.findall(page.read_text(encoding="utf-8"))
        assert len(code.splitlines()) <= LONGEST
        assert re.search(rf"\b{page.stem}\(", code)
        assert re.search(r"^\s*assert |print\(", code, re.MULTILINE)

        try:
            exec(compile(code, str(page), "exec"), {"__name__": page.stem})
        except MissingExtraError as missing:
            pytest.skip(str(missing))
        assert "assert " in code or capsys.readouterr().out
