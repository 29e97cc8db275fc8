"""Processes beside the application let it go first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shadoweval.priority import LEVEL

PROGRAM = """
import os
from pathlib import Path
from shadoweval.priority import session_level, step_back
os.nice({before})
step_back(); step_back()
print(os.nice(0), session_level(0))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nice differs elsewhere")
@pytest.mark.parametrize("before", [0, 3, 15])
def test_a_process_steps_back_once(before: int) -> None:
    """To the same level however often it is asked, and never forward, from whatever level the tests run at."""
    first = min(os.nice(0) + before, 19)
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        cwd=Path(__file__).parents[1],
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(told.stdout.split()[0]) == max(first, LEVEL)
