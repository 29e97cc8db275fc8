"""Walk docs/first-hour.md: `python tools/first_hour.py PYTHON` runs its commands, in their order, in an empty folder.

PYTHON is the interpreter of an environment that holds the wheel with the extra `store`, and nothing else of ours.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "first-hour.md"
APP = {
    "app/__init__.py": "",
    "app/rag.py": """
PAGES = ["We open at nine and close at six.", "Returns are taken for 30 days.", "Parking is behind the house."]


def search(question):
    words = set(question.lower().split())
    return sorted(PAGES, key=lambda page: -len(words & set(page.lower().split())))


def answer(question: str) -> str:
    return search(question)[0]
""",
    "serve.py": """
import app.rag
from evals.shopbot import shopbot

answer = shopbot.mirror(sample=1.0)(app.rag.answer)
for number in range(40):
    answer(f"when do you open on day {number}")
""",
    "scores.csv": "quality.incumbent,quality.candidate,user\n"
    + "".join(f"0.5,0.{4 + n % 3},u{n}\n" for n in range(50)),
}
ENDINGS = {"evaluate": {0, 1, 3}, "compare": {0, 1, 3}, "status": {0, 1}}
"""Exit codes that say that a command did its work; 0 of all others."""


def commands() -> Iterator[list[str]]:
    """The lines of the page's shell blocks but the installation."""
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        yield from (line.split() for line in block.splitlines() if line.startswith("shadoweval "))


def main(python: str) -> int:
    """Walk it; 1 where a command does not end as it should."""
    with tempfile.TemporaryDirectory(prefix="first-hour-") as scratch:
        folder = Path(scratch, "shopbot")
        for name, text in APP.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        for words in commands():
            name = words[1]
            if name == "worker":  # the page's users have traffic by now, and let it run
                subprocess.run([python, "serve.py"], cwd=folder, check=True)
                words.append("--until-idle")
            began = time.monotonic()
            done = subprocess.run([python, "-m", *words], cwd=folder, capture_output=True, text=True, check=False)
            print(f"{time.monotonic() - began:5.1f} s  {' '.join(words)}: exit {done.returncode}", flush=True)
            if done.returncode not in ENDINGS.get(name, {0}):
                print(done.stdout, done.stderr, sep="\n")
                return 1
            if name == "evaluate":
                print("         " + done.stdout.partition("\n")[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
