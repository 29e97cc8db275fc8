"""docs/margins.md: its code prints what it shows, and its table is what the engine plans with."""

import re
from pathlib import Path

from shadoweval.evidence.planning import planned_pairs

PAGE = (Path(__file__).parents[2] / "docs" / "margins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_code_prints_what_is_shown(capsys):
    """Each block of Python runs; what the first prints stands below it."""
    names = {}
    for kind, code in BLOCKS:
        if kind == "python":
            exec(compile(code, "margins.md", "exec"), names)

    (shown,) = [code for kind, code in BLOCKS if not kind]
    assert capsys.readouterr().out == shown
    assert [gate.metric for gate in names["cheaper"].gates] == ["answer_quality", "errors", "latency.p95", "cost"]


def test_the_table_is_what_the_engine_plans_with():
    """Pairs for half of the runs and for 95 in 100, of arms that differ in a share of the queries and are equal."""
    (head,) = re.findall(r"^\| the arms differ in \|(.*)\|$", PAGE, re.MULTILINE)
    rows = re.findall(r"^\| (\d+) %[^|]*\|(.*)\|$", PAGE, re.MULTILINE)
    assert len(rows) == 3
    for share, cells in rows:
        planned = [planned_pairs(int(share) / 100, float(margin)) for margin in re.findall(r"by=([\d.]+)", head)]
        assert [cell.strip() for cell in cells.split("|")] == [f"{plan.half:,} to {plan.most:,}" for plan in planned]
