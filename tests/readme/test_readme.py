"""What README says is run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from shadoweval.cli.parser import _parser

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(?P<kind>[^\n]*)\n(?P<code>.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
PYTHON = [code for kind, code in BLOCKS if kind == "python"]
PAGES = README + (ROOT / "docs" / "first-hour.md").read_text(encoding="utf-8")
SHELL = [code for kind, code in re.findall(r"^```([^\n]*)\n(.*?)^```", PAGES, re.MULTILINE | re.DOTALL) if kind == "sh"]
SUITES = [code for kind, code in BLOCKS if kind == "python test"]
COMMANDS = [
    line.split("#")[0].strip() for code in SHELL for line in code.splitlines() if line.startswith("shadoweval ")
]


def test_the_python_blocks_run_in_order(tmp_path, monkeypatch, capsys):
    """A reader who types the blocks one after the other gets what README says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHADOWEVAL_HOME", str(tmp_path / "home"))
    names: dict[str, object] = {"__name__": "readme"}

    for code in PYTHON:
        exec(compile(code, "README.md", "exec"), names)

    assert len(PYTHON) >= 5
    assert "HOLD" in capsys.readouterr().out
    assert (tmp_path / "reports" / "docs.html").exists()


def test_the_suite_runs_under_pytest(tmp_path):
    """The pytest block passes as it stands, over the first cases of its file, in a run of its own."""
    (code,) = SUITES
    (tmp_path / "evals").mkdir()
    cases = (ROOT / "evals" / "support.jsonl").read_text(encoding="utf-8").splitlines()[:40]
    (tmp_path / "evals" / "support.jsonl").write_text("\n".join(cases), encoding="utf-8")
    (tmp_path / "test_suite.py").write_text(code, encoding="utf-8")
    shop = "from pipelines.shop import create_shop; create_shop('shop.sqlite')"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SHOP_DATABASE": str(tmp_path / "shop.sqlite"),
        "SHADOWEVAL_HOME": str(tmp_path / "home"),
    }
    subprocess.run([sys.executable, "-c", shop], cwd=tmp_path, env=environment, check=True)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--shadow-report", "html", "test_suite.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    (written,) = (tmp_path / "html").iterdir()
    assert written.name.startswith("test_suite.py.test_")
    assert written.name.endswith("-support-policy-first.html")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_are_understood(command):
    """Every command line of README, and of the first hour, parses."""
    assert _parser().parse_args(shlex.split(command)[1:])


def test_the_links_lead_somewhere():
    """Every file that README names is there."""
    linked = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    named = re.findall(r"`(tests/[^`]+)`", README)

    missing = [path for path in linked + named if not (ROOT / path).exists()]

    assert not missing
