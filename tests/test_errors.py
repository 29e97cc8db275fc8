"""Every exception of the project."""

import inspect
import re

import pytest

from shadoweval import errors
from shadoweval._optional import require
from shadoweval.errors import MissingExtraError, ShadowEvalError, UnknownCandidateError, UnknownMetricError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]


def test_one_root():
    """One except clause catches everything of ours."""
    assert all(issubclass(kind, ShadowEvalError) for kind in KINDS)


def test_the_tree_is_drawn():
    """The docstring's tree holds every exception, under its parent."""
    drawn: dict[str, str | None] = {}
    stack: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"^(?P<indent>[ │├└─]*)(?P<name>[A-Z]\w*Error)\b", line)
        if found:
            depth = len(found["indent"])
            while stack and stack[-1][0] >= depth:
                stack.pop()
            drawn[found["name"]] = stack[-1][1] if stack else None
            stack.append((depth, found["name"]))

    assert drawn == {kind.__name__: None if kind is ShadowEvalError else kind.__bases__[0].__name__ for kind in KINDS}


def test_a_wrong_candidate_is_met_with_the_right_names():
    """The message says what there is and what was probably meant."""
    error = UnknownCandidateError("rerank2", experiment="support", known=["rerank", "hyde"])

    assert str(error) == (
        "Experiment 'support' has no candidate 'rerank2'. It has: 'rerank', 'hyde'. Did you mean 'rerank'?"
    )
    assert error.candidate == "rerank2"


def test_a_wrong_metric_is_met_with_the_right_names():
    """A gate over a metric that nobody makes names those that are made."""
    error = UnknownMetricError("recal@5", experiment="e", known=["recall@5"])

    assert "Did you mean 'recall@5'?" in str(error)


def test_a_missing_package_names_its_extra():
    """The message holds the line to type."""
    with pytest.raises(MissingExtraError, match=r"pip install 'shadoweval\[judge\]'"):
        require("no_such_package.part", extra="judge", needed_for="Judging")


def test_a_package_that_fails_inside_is_not_called_missing(tmp_path, monkeypatch):
    """An installed package whose own import fails raises its own error."""
    (tmp_path / "half_installed.py").write_text("import something_it_lacks\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="something_it_lacks") as caught:
        require("half_installed", extra="x", needed_for="Testing")

    assert not isinstance(caught.value, MissingExtraError)
