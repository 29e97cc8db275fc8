"""docs/troubleshooting.md tells of every line that the package logs, every error of ours, and every reason of a loss.

Whoever adds one adds a row: what it says, with `…` for names and numbers, why, and what to do.
"""

import ast
import re
from pathlib import Path

import pytest

from shadoweval import errors
from shadoweval.counters import LOSSES
from shadoweval.worker import rivals

ROOT = Path(__file__).parents[2]
PAGE = " ".join((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").replace("`", "").split())
LEVELS = {"warning", "error", "exception", "critical"}
PLACE = re.compile(r"%[-+ 0-9.]*[a-zA-Z]|\{\w+(?:![rs])?\}")
SENTENCES = {"worker/ingestion.py": (rivals._WORKED_ON, rivals._MIRRORED)}
"""Where a line is `"%s"`, what stands in it."""


def lines_of(source):
    """The text of each line logged at a level that people are told of; None where it can't be told from the source."""
    tree = ast.parse(source)
    constants = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS):
            continue
        if ast.unparse(call.func.value) not in {"log", "_log", "logger", "warnings"}:
            continue
        (first, *_) = call.args
        yield first.value if isinstance(first, ast.Constant) else constants.get(getattr(first, "id", ""))


def told(text, page=PAGE):
    """Whether the page has this text, with `…` for what is filled in; of a long one the beginning."""
    shown = " ".join(PLACE.sub("…", text).replace("`", "").split())
    return shown in page or (len(shown) > 200 and shown[:60] in page)


def test_every_line_of_the_log_is_told():
    """Warnings and errors of each module, word by word."""
    untold, count = [], 0
    for path in sorted((ROOT / "shadoweval").rglob("*.py")):
        module = path.relative_to(ROOT / "shadoweval").as_posix()
        for text in lines_of(path.read_text(encoding="utf-8")):
            texts = SENTENCES.get(module, ()) if text == "%s" else (text,)
            count += len(texts)
            untold += [f"{module}: {each!r}" for each in texts if each is None or not told(each)]

    assert count > 40
    assert untold == [], "docs/troubleshooting.md says nothing of them: add a row each, with cause and mend"


@pytest.mark.parametrize("page", ["", PAGE.replace("envelope set aside", "")])
def test_a_line_that_is_not_told_is_found(page):
    """By its text, with what is filled in shown as the page does."""
    source = 'log.warning("envelope set aside")\n_log.error("no %s of %d", 1, 2)\ncause = "lost"\nlog.exception(cause)'
    assert list(lines_of(source)) == ["envelope set aside", "no %s of %d", "lost"]
    assert not told("envelope set aside", page)
    assert told("no %s of %.0f {names}", "no … of … …")


def test_every_error_is_told():
    """By its name; the root stands above the table."""
    names = [name for name in errors.__all__ if name.endswith("Error")]
    assert [name for name in names if not re.search(rf"\b{name}\b", PAGE)] == []


def test_every_reason_of_a_loss_is_told():
    """As `status` counts them."""
    table = PAGE.split("## Why a call was not mirrored")[1].split("##")[0]
    assert [reason for reason in LOSSES if not re.search(rf"\b{reason}\b", table)] == []
