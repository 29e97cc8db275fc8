import sys

import pytest

from shadoweval import Experiment, Target, no_worse
from shadoweval.errors import ArgumentError, ExperimentError, TargetError
from shadoweval.scoring import errors

ADDRESS = "app.rag:answer"


def experiment(candidate, **options):
    return Experiment(
        name="e", candidates={"new": candidate}, scorers=[errors()], gates=[no_worse("errors", by=0.1)], **options
    )


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        ({"python": "/nowhere/bin/python"}, TargetError, "interpreter '/nowhere/bin/python' is not there.*venv"),
        ({"python": "/etc"}, TargetError, "'/etc' is not there, or is no program"),
        ({"python": 3.12}, ArgumentError, "Target.python"),
        ({"path": "/nowhere"}, TargetError, "'/nowhere' is no folder"),
        ({"path": [3]}, ArgumentError, "each of Target.path"),
        ({"path": 3}, ArgumentError, "Target.path must be a list"),
        ({}, ArgumentError, "written as text: 'app.rag:answer'"),
        ({"repo": "."}, ArgumentError, "Target.repo must be with git="),
        ({"path": ".", "install": "uv"}, ArgumentError, "Target.install must be with git="),
        ({"git": "main", "install": "conda"}, ArgumentError, "Target.install"),
        ({"git": " "}, ArgumentError, "a branch, tag or commit"),
        ({"git": "--upload-pack=touch x"}, ArgumentError, "a branch, tag or commit"),
        ({"git": "main", "path": "/srv"}, ArgumentError, "a folder of the commit"),
        ({"git": "main", "path": "../other"}, ArgumentError, "a folder of the commit"),
        ({"git": "main", "repo": "/nowhere"}, TargetError, "repository '/nowhere' is no folder"),
        ({"branch": "main"}, ExperimentError, "no argument 'branch'"),
    ],
)
def test_what_cant_be_meant_is_refused_where_it_is_written(words, error, says):
    """Before any worker starts: a missing interpreter or folder, and arguments that don't go together."""
    with pytest.raises(error, match=says):
        Target(ADDRESS, **words)


def test_an_address_is_checked_as_that_of_any_candidate():
    """It names a module and an attribute."""
    with pytest.raises(TargetError, match="not written as 'module:attribute'"):
        Target("app.rag", path=".")


def test_an_interpreter_is_a_path_or_a_name(monkeypatch, tmp_path):
    """A name is looked for as a shell does; a venv's link stays a link, since it says where the venv is."""
    link = tmp_path / "python-of-mine"
    link.symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert Target(ADDRESS, python="python-of-mine").interpreter() == str(link)
    assert Target(ADDRESS, python=link).interpreter() == str(link)
    assert Target(ADDRESS, path=".").interpreter() is None


def test_both_arms_may_be_of_another_environment():
    """An experiment takes targets beside texts, says so by their address, and two branches are two definitions."""
    main, branch = Target(ADDRESS, git="main"), Target(ADDRESS, git="pull-12")
    mixed = experiment(branch, incumbent=main)

    assert (mixed.target("new"), mixed.target("incumbent")) == (branch, main)
    assert str(mixed.target("new")) == ADDRESS
    assert len({experiment(each).definition for each in (ADDRESS, main, branch)}) == 3
    assert mixed.definition == experiment(Target(ADDRESS, git="pull-12"), incumbent=main).definition


@pytest.mark.parametrize("candidate", [3, None, ["a:b"]])
def test_an_arm_is_a_text_or_a_target(candidate):
    """Anything else is refused with both ways to write it."""
    with pytest.raises(
        ArgumentError, match=r"candidate 'new' must be a str or Target.*Write 'app.rag:answer', or Target"
    ):
        experiment(candidate)
