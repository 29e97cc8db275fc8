"""The third example's suite runs against any server that speaks OpenAI's API."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def suite(tmp_path, **environment):
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "evals/test_orders.py"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "SHADOWEVAL_HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_it_passes_against_a_server_on_the_loopback(server, tmp_path):
    """Both arms of each case run contained, and reach that server alone."""
    code, said = suite(tmp_path, OPENAI_BASE_URL=server.url, OPENAI_API_KEY="none")

    assert code == 0, said
    assert "1 passed" in said
    questions = {body["messages"][1]["content"] for _, body in server.seen}
    cases = [json.loads(line) for line in (ROOT / "evals/orders.jsonl").read_text(encoding="utf-8").splitlines()]
    assert questions == {case["query"] for case in cases}


def test_it_is_skipped_without_a_model(tmp_path):
    """And says what to set."""
    code, said = suite(tmp_path, OPENAI_BASE_URL="", OPENAI_API_KEY="")

    assert code == 0, said
    assert "1 skipped" in said
    assert "OPENAI_API_KEY" in said
