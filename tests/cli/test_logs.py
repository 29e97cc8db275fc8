"""What a person reads of the log."""

import subprocess
import sys

SCRIPT = """
import logging
from shadoweval.cli.logs import log_to_stderr
log_to_stderr(verbose=False)
log = logging.getLogger("shadoweval.x")
log.warning("a process was given up", extra={"arm": "new", "why": "it left a thread at work", "shadow": True})
log.warning("nothing is mirrored")
log.info("not shown")
from shadoweval.logs import about
with about(experiment="docs", candidate="new", decision="hold"):
    log.warning("in a block", extra={"why": "y"})
    logging.getLogger("asyncio").warning("another's")
"""


def test_a_line_holds_its_facts():
    """Messages are constant; what they are about stands behind them."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    assert done.stderr.splitlines() == [
        "WARNING shadoweval.x: a process was given up (arm='new', why='it left a thread at work')",
        "WARNING shadoweval.x: nothing is mirrored",
        "WARNING shadoweval.x: in a block (experiment='docs', candidate='new', decision='hold', why='y')",
        "WARNING asyncio: another's",
    ]
