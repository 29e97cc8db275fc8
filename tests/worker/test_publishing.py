"""Counters of homes add up in the store: of several, of one that moves, of copies, through crashes."""

import shutil

import pytest

from shadoweval.errors import StoreError
from shadoweval.store import SqlStore
from shadoweval.worker.publishing import HomeCounters


@pytest.fixture(name="store")
def _store(url):
    with SqlStore(url) as store:
        yield store


def keep(store, spool, count):
    """As a worker does that begins now."""
    HomeCounters("docs", spool, store=store).keep({"eligible": count, "mirrored": count})


def eligible(store):
    return store.funnel("docs", "new").eligible


def test_several_homes_add_up(store, tmp_path):
    """Each replaces its own, whatever its host or process is called."""
    for count in (3, 5):
        keep(store, tmp_path / "a", count)
        keep(store, tmp_path / "b", 10 * count)
    assert eligible(store) == 55


def test_a_home_that_moves_goes_on(store, tmp_path):
    """Its name lies in it."""
    keep(store, tmp_path / "a", 3)
    (tmp_path / "a").rename(tmp_path / "b")
    keep(store, tmp_path / "b", 4)
    shutil.copytree(tmp_path / "b", tmp_path / "c")  # to another disk
    shutil.rmtree(tmp_path / "b")
    keep(store, tmp_path / "c", 6)
    assert eligible(store) == 6


@pytest.mark.parametrize("first", ["original", "copy"])
@pytest.mark.parametrize("again", [False, True])
def test_a_copy_counts_what_came_since(store, tmp_path, first, again):
    """What was counted before they parted counts once, whoever comes first, and though each begins anew."""
    original, copy = tmp_path / "a", tmp_path / "b"
    keep(store, original, 3)
    keep(store, original, 100)
    shutil.copytree(original, copy)
    order = [(original, 110), (copy, 105)] if first == "original" else [(copy, 105), (original, 110)]
    for spool, count in [*order, *order] if again else order:
        keep(store, spool, count)
    assert eligible(store) == 115
    keep(store, copy, 107)
    keep(store, original, 111)
    assert eligible(store) == 118


def test_a_copy_beside_living_workers(store, tmp_path):
    """Both go on at once, for long."""
    keep(store, tmp_path / "a", 10)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    workers = [HomeCounters("docs", tmp_path / name, store=store) for name in "ab"]
    for count in range(11, 31):
        for worker in workers:
            worker.keep({"eligible": count})
    assert eligible(store) == 50


class Breaking:
    """A store that breaks, before or after it has kept what it was given."""

    def __init__(self, store, *, kept):
        self.store, self.kept = store, kept

    def replace_counters(self, *args, **kwargs):
        if self.kept:
            self.store.replace_counters(*args, **kwargs)
        raise StoreError("gone")


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("times", [1, 3, 50])
def test_a_store_that_breaks_off_makes_no_copies(store, tmp_path, kept, times):
    """Whether it has kept them nobody knows; the home has one name all the same."""
    keep(store, tmp_path / "a", 1)
    living = HomeCounters("docs", tmp_path / "a", store=Breaking(store, kept=kept))
    for count in range(2, times + 2):
        with pytest.raises(StoreError):
            living.keep({"eligible": count})
        with pytest.raises(StoreError):
            keep(Breaking(store, kept=kept), tmp_path / "a", count)
    living._store = store
    living.keep({"eligible": 60})
    assert eligible(store) == 60
    keep(store, tmp_path / "a", 70)
    assert eligible(store) == 70


def test_a_damaged_file_counts_nothing_twice(store, tmp_path):
    """The home goes on under another name with what comes from now on."""
    keep(store, tmp_path / "a", 10)
    (tmp_path / "a" / "published.json").write_bytes(b"")
    keep(store, tmp_path / "a", 10)
    keep(store, tmp_path / "a", 15)
    assert eligible(store) == 15
