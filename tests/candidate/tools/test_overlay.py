import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.candidate.tools.overlay import OverlayMapping

ACTIONS = st.lists(st.tuples(st.sampled_from(["set", "delete", "get"]), st.integers(0, 6), st.integers()), max_size=30)


@given(base=st.dictionaries(st.integers(0, 6), st.integers()), actions=ACTIONS)
def test_an_overlay_behaves_like_a_dict_and_leaves_its_base_alone(base, actions):
    """Whatever is done to it, it equals a dict to which the same was done; the base stays what it was."""
    overlay, model, before = OverlayMapping(base), dict(base), dict(base)
    for action, key, value in actions:
        if action == "set":
            overlay[key] = model[key] = value
        elif action == "delete":
            assert overlay.pop(key, None) == model.pop(key, None)
        else:
            assert overlay.get(key) == model.get(key)

    assert dict(overlay) == model
    assert len(overlay) == len(model)
    assert base == before


def test_it_knows_what_was_touched():
    """Keys that were asked for and keys that were written, each on its own."""
    overlay = OverlayMapping({"a": 1, "b": 2})
    overlay["c"] = 3
    del overlay["a"]
    overlay.get("b")
    overlay.get("z")

    assert overlay.written == {"a", "c"}
    assert {"b", "z"} <= overlay.read


def test_a_commit_moves_writes_into_the_overlay_below():
    """Nothing reaches the base of all."""
    base = {"a": 1}
    lower = OverlayMapping(base)
    upper = OverlayMapping(lower)
    upper["a"] = 2
    assert lower["a"] == 1

    upper.commit()

    assert lower["a"] == 2
    assert base == {"a": 1}
    with pytest.raises(TypeError):
        lower.commit()


def test_memory_grows_with_what_is_written():
    """An overlay over a million entities costs what its own writes cost."""
    base = dict.fromkeys(range(1_000_000), "an entity")
    tracemalloc.start()
    overlay = OverlayMapping(base)
    for key in range(100):
        overlay[key] = "changed"
        overlay.get(key + 1000)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert used < 100_000
