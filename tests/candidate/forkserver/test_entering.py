import sys
from types import ModuleType

import pytest

from shadoweval.candidate.forkserver.entering import Place, check_origin, moved, versions
from shadoweval.errors import TargetError


@pytest.fixture
def place(tmp_path):
    """A repository with its checkout in it, as the home is by default."""
    root = (tmp_path / "repo").resolve()
    tree = root / ".shadoweval/checkouts/abc/tree"
    for folder in (root / "src", root / "old", root / ".venv/lib/python3/site-packages", tree / "src"):
        folder.mkdir(parents=True)
    return Place(path=[str(tree)], root=str(root), tree=str(tree), versions={"commit": "abc"})


def test_the_repository_s_folders_are_those_of_the_commit(place, tmp_path):
    """What is installed, of the checkout or of elsewhere stays; a folder that the commit has not is left out."""
    packages = f"{place.root}/.venv/lib/python3/site-packages"
    (tmp_path / "link").symlink_to(place.root)

    assert moved(place.root, place) == place.tree
    assert moved(f"{place.root}/src", place) == moved(f"{tmp_path}/link/src", place) == f"{place.tree}/src"
    assert moved(f"{place.root}/old", place) == ""
    assert [moved(each, place) for each in (packages, place.tree, "/usr/lib")] == [packages, place.tree, "/usr/lib"]
    assert moved(place.root, Place(path=[])) == place.root


def test_a_module_of_the_working_tree_is_not_the_commit_s(place, monkeypatch):
    """An editable install whose folder nobody named would run main as the candidate: that is refused."""
    module = ModuleType("of_main")
    module.__file__ = f"{place.tree}/src/of_main.py"
    monkeypatch.setitem(sys.modules, "of_main", module)
    check_origin("of_main:answer", place)
    module.__file__ = f"{place.root}/src/of_main.py"

    with pytest.raises(TargetError, match=r"'of_main' was imported from .*/src/of_main.py, and not .*path='src'"):
        check_origin("of_main:answer", place)


def test_what_is_installed_is_part_of_the_version(place, monkeypatch, tmp_path):
    """An upgrade in place is another environment, the order of the folders is not."""
    for name in ("one-1.0", "two-1.0"):
        (tmp_path / "a" / f"{name}.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "a"), str(tmp_path / "b")])
    before = versions(place)
    monkeypatch.setattr(sys, "path", sys.path[::-1])
    assert versions(place) == before
    (tmp_path / "a/one-1.0.dist-info").rename(tmp_path / "a/one-1.1.dist-info")

    assert before["commit"] == "abc"
    assert before["environment"] != versions(place)["environment"]
