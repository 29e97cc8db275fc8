"""The truth table: what is said of each candidate, looked at along its stream and once, through `evaluate`.

To add a row, write a function that fills a `World` into the file of its kind:

    @bad(7, says=("lang=es",))
    def a_language_fails(world):
        ...

A row that does not hold yet says why, `fault="kind 7: ..."`; it is then expected to fail, and fails once it holds.
"""

import pytest

from . import rows_answers, rows_beside, rows_metrics, rows_missing, rows_people, rows_runs, rows_units, rows_windows
from .conftest import ROWS, ends_of, parameters, unlisted

FILES = (
    rows_answers,
    rows_beside,
    rows_metrics,
    rows_missing,
    rows_people,
    rows_runs,
    rows_units,
    rows_windows,
)  # each adds its rows to ROWS when it is imported


@pytest.mark.parametrize("row", parameters(ROWS))
def test_row(row, stored):
    """No look says what must never be said; the last one, and a single look at all of it, say what must be said."""
    stream = stored(row)
    verdict = None
    for pairs, verdict in stream.looks(ends_of(row, len(stream.asked))):
        assert verdict.decision not in row.never.split(), f"after {pairs} pairs\n{verdict}"
        assert unlisted(verdict) == [], "list it in docs/read-a-verdict.md, and say it in test_page.py"
        if row.by == pairs:
            assert verdict.promotes, f"not promoted by {pairs} pairs\n{verdict}"
    ends = [("every look", verdict)]
    if "once" not in stream.world.evaluation:
        ends.append(("one look", stream.one_look()))
    for which, last in ends:
        text = str(last)
        assert last.decision in row.decisions, f"{which}\n{text}"
        assert [part for part in row.says if part not in text] == [], f"{which}\n{text}"
        assert [part for part in row.silent if part in text] == [], f"{which}\n{text}"
