"""Processes that a test started, however far down."""

from pathlib import Path


def processes_naming(text):
    """Ids of living processes with the text in their environment, which children inherit."""
    pids = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text.encode() in file.read_bytes():
                pids.append(int(file.parent.name))
        except OSError:
            continue
    return pids
