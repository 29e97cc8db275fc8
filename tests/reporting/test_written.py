"""An erasure names the reports that hold what was erased, whoever wrote them."""

import sys
from pathlib import Path

import msgspec

from shadoweval.reporting.html import report
from shadoweval.reporting.written import reports_holding

sys.path.insert(0, str(Path(__file__).parent))
from sample import evaluation


def test_a_report_is_known_at_the_experiments_home(tmp_path):
    """Its queries are noted with it; one without texts takes its note away, and so does its deletion."""
    whole = msgspec.structs.replace(evaluation(), home=str(tmp_path))
    first = whole.examples["hybrid"][0].query_id
    pages = [report(whole, tmp_path / name) for name in ("a.html", "b.html", "c.html")]

    assert reports_holding(tmp_path, gone=lambda ids: [each for each in ids if each == first]) == pages
    assert reports_holding(tmp_path, gone=lambda ids: [each for each in ids if each == "nobody's"]) == []
    report(whole, pages[0], texts="none")
    pages[1].unlink()
    assert reports_holding(tmp_path, gone=list) == pages[2:]


def test_a_home_that_is_gone_is_not_made_again(tmp_path):
    """A suite's home goes with it, and that of another host is not here."""
    home = tmp_path / "gone"
    report(msgspec.structs.replace(evaluation(), home=str(home)), tmp_path / "r.html")
    report(evaluation(), tmp_path / "r.html")

    assert [each.name for each in tmp_path.iterdir()] == ["r.html"]
