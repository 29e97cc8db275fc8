"""Run the simulations: python -m benchmarks.statistics [--short] [--json PATH] [NAMES]."""

import argparse
import importlib
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.statistics.bars import Bar, Scale, table

NAMES = (
    "false_alarms",
    "power",
    "latency",
    "cost",
    "verdicts",
    "clusters",
    "order",
    "labels",
    "slices",
    "drift",
    "noise",
    "suites",
    "effort",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statistics", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of: {', '.join(NAMES)}; all without")
    parser.add_argument("--short", action="store_true", help="an eighth of the streams")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    bars: list[Bar] = []
    for name in options.names or NAMES:
        start = time.perf_counter()
        bars += importlib.import_module(f"benchmarks.statistics.{name}").measure(Scale(short=options.short))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    print(table(bars))
    if options.json:
        rows = [asdict(bar) | {"ok": bar.ok} for bar in bars]
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0 if all(bar.ok for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
