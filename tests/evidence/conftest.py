"""Numbers from independent implementations, where they are at hand."""

import json
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="session")
def vectors():
    """The reference cases by name: mpmath, confseq, ville, savvi, ppi_py, statsmodels, scipy."""
    path = SHARED / "stats_vectors.json"
    if not path.exists():
        pytest.skip(f"reference vectors are not at {path}")
    return {case["id"]: case for case in json.loads(path.read_text())["vectors"]}


@pytest.fixture(scope="session")
def table_cases():
    """Published numbers by kind: VassarStats, R, Newcombe 1998."""
    path = SHARED / "data" / "stat_vectors" / "cases.jsonl"
    if not path.exists():
        pytest.skip(f"published numbers are not at {path}")
    cases = [json.loads(line) for line in path.read_text().splitlines()]
    return lambda kind: [case for case in cases if case["kind"] == kind]


@pytest.fixture
def rng():
    return np.random.default_rng(20_260_101)
