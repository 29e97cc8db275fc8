"""What a command opens first."""

import subprocess
import sys

import pytest

from shadoweval.errors import SettingsError
from shadoweval.worker.opening import exclusive


def test_one_at_a_time(tmp_path):
    """A second process is told who is at it; when that one dies the lock is free."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom shadoweval.worker.opening import exclusive\n"
        "with exclusive(Path(sys.argv[1]), 'evaluate.lock'):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"

    with pytest.raises(SettingsError, match=f"process {holder.pid} is at it"), exclusive(tmp_path, "evaluate.lock"):
        pass

    holder.kill()
    holder.communicate()
    with exclusive(tmp_path, "evaluate.lock"):
        pass
