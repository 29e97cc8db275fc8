"""`make bench`: every benchmark one after the other, each in a process of its own; or those that are named."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent
PARTS = ("mirror", "adapters", "candidate", "containment", "statistics", "verdict", "answers", "paragraphs", "rankings")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parts = parser.parse_args().parts or PARTS
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(PARTS)}")
    failed = []
    for part in parts:
        began = time.monotonic()
        print(f"== {part}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{part}"], cwd=FOLDER.parent, check=False).returncode:
            failed.append(part)
        print(f"== {part}: {time.monotonic() - began:.0f} s\n", flush=True)
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
