"""What the mirror costs before its first call."""

import json
import subprocess
import sys

PROGRAM = """
import sys, os, threading, json
before = set(sys.modules)
import shadoweval.mirror, shadoweval.transport, shadoweval.capture
from shadoweval.mirror import Mirror
opened = []
def fail(): raise AssertionError("opened at import")
@Mirror("x", fail)
def answer(question): return question
new = {name.split(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(json.dumps({"third": sorted(new), "threads": threading.active_count(), "fds": os.listdir("/proc/self/fd")
                  if os.path.isdir("/proc/self/fd") else []}))
"""


def test_it_loads_msgspec_only_and_starts_and_opens_nothing() -> None:
    """A fresh interpreter: no third-party module but msgspec, no thread, no file; decorating opens nothing either."""
    told = subprocess.run([sys.executable, "-I", "-c", PROGRAM], capture_output=True, text=True, check=True)
    found = json.loads(told.stdout)
    third = {name for name in found["third"] if "cython" not in name}  # names that compiled modules give themselves
    assert third <= {"msgspec", "shadoweval", "typing_extensions"}  # the last by msgspec, where it is installed
    assert found["threads"] == 1
    assert len(found["fds"]) <= 4  # standard streams, and the listing itself
