"""`shadoweval demo`, in an empty folder."""

import os
import subprocess
import sys

import pytest

from shadoweval.cli.parser import main


@pytest.mark.slow
def test_the_demo_promotes_the_better_and_stops_the_generous(tmp_path):
    """Both verdicts, both reports, and a till that only the incumbent paid from; a real home is left alone."""
    home = tmp_path / "production"
    done = subprocess.run(
        [sys.executable, "-m", "shadoweval", "demo", "--out", "tried"],
        cwd=tmp_path,
        env={**os.environ, "SHADOWEVAL_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "library / roots: PROMOTE (proven)" in done.stdout
    assert "shop / generous: ROLLBACK (broken)" in done.stdout
    assert "live writes by candidates: 0" in done.stdout
    paid = (tmp_path / "tried" / "refunds.csv").read_text(encoding="utf-8").splitlines()
    assert f"which paid {len(paid)} refunds" in done.stdout
    assert f"till holds {len(paid)} refunds" in done.stdout
    assert {path.name for path in (tmp_path / "tried" / "reports").iterdir()} == {"library.html", "shop.html"}
    assert not home.exists()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path, capsys):
    """The demo makes its folder anew, so it must be its own."""
    (tmp_path / "thesis.txt").write_text("three years", encoding="utf-8")

    assert main(["demo", "--out", str(tmp_path)]) == 4
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
