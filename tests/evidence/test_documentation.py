import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from shadoweval import evidence
from shadoweval.verdict import gates

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"


@pytest.fixture(scope="module")
def page():
    if not PAGE.exists():
        pytest.skip(f"{PAGE} is not here")
    return PAGE.read_text(encoding="utf-8")


def test_examples_run(page):
    """The code of docs/statistics.md runs from top to bottom."""
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) >= 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)


def test_names_are_real(page):
    """Every function or class that the page puts in backticks exists."""
    modules = [
        importlib.import_module(name) for _, name, _ in pkgutil.iter_modules(evidence.__path__, "shadoweval.evidence.")
    ]

    called = set(re.findall(r"`([A-Za-z_]+)`", page))
    known = (
        {name for module in modules for name in vars(module)} | set(gates.__all__) | {"log_e", "d_j", "tool_success"}
    )
    looks_like_ours = {name for name in called if re.fullmatch(r"[A-Z][a-z]+[A-Z]\w+|[a-z]+_[a-z_]+", name)}
    assert looks_like_ours - known == set()


def test_every_measured_bar_is_met(page):
    """The table was not published with a broken promise, and has every part of the benchmark."""
    from benchmarks.statistics.__main__ import NAMES

    rows = [line for line in page.splitlines() if re.match(r"\| [a-z ]+ \|.*\| (ok|FAILED) \|$", line)]
    assert len(rows) > 100
    assert not [row for row in rows if row.endswith("FAILED |")]
    assert len(NAMES) == len(set(NAMES))
