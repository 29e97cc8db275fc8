"""docs/install.md: what each extra brings is what is installed here, from the lock."""

import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| .+ \| (\d+) \| ([\d,]+)[^|]*\|$", PAGE, re.MULTILINE)
MEASURED_ON = ("linux", "x86_64", (3, 11))
PACKAGE = sum(file.stat().st_size for file in (ROOT / "shadoweval").rglob("*") if file.suffix not in {"", ".pyc"})


def brought(extra):
    """Names of the packages that `shadoweval[EXTRA]` brings, by what is installed says it needs."""
    seen, todo = {}, [("shadoweval", frozenset({extra} if extra else ()))]
    while todo:
        name, extras = todo.pop()
        known = seen.get(name)
        if known is not None and extras <= known:
            continue
        seen[name] = extras | (known or frozenset())
        for line in distribution(name).requires or ():
            wanted = Requirement(line)
            marks = seen[name] or {""}
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": mark}) for mark in marks):
                todo.append((canonicalize_name(wanted.name), frozenset(wanted.extras)))
    return set(seen)


def size(name):
    """Bytes of a package's files, without compiled modules."""
    if name == "shadoweval":
        return PACKAGE
    return sum(file.size or 0 for file in distribution(name).files or () if file.suffix != ".pyc")


@pytest.mark.skipif(
    (sys.platform, platform.machine(), sys.version_info[:2]) != MEASURED_ON,
    reason="the page says where it was measured",
)
@pytest.mark.parametrize(("label", "packages", "megabytes"), ROWS)
def test_an_extra_brings_what_the_page_says(label, packages, megabytes):
    """Packages within 3, size within a tenth (or 2 MB); extras in one row bring the same."""
    for extra in ["" if label == "none" else extra for extra in re.findall(r"\w+", label)]:
        try:
            names = brought(extra)
        except PackageNotFoundError as missing:
            pytest.skip(f"{missing} is not installed")
        assert len(names) == pytest.approx(int(packages), abs=3)
        assert sum(map(size, names)) / 1e6 == pytest.approx(int(megabytes.replace(",", "")), rel=0.1, abs=2)


def test_every_extra_of_users_is_in_the_table():
    """As pyproject.toml has them; ragas has no size, since nothing here has it installed."""
    told = {extra for row in re.findall(r"^\| (`.+?`) \|", PAGE, re.MULTILINE) for extra in re.findall(r"`(\w+)`", row)}
    assert told == set(distribution("shadoweval").metadata.get_all("Provides-Extra")) - {"demo", "dev", "bench"}
    assert len(ROWS) == len(told) - 1  # `none` beside them; `openai` and `judge` in one row; ragas without a size
