"""The process beside a worker that looks at the files by which an experiment is killed, whatever the worker does."""

from __future__ import annotations

from pathlib import Path

from shadoweval.candidate.kill_watch import watch
from shadoweval.traffic.kill import KillSwitch

__all__ = ["main"]


def main(descriptor: int, experiment: str, home: str) -> None:
    """Kill the candidates' processes that come over `descriptor` while files in `home`, or what it is, kill."""
    watch(descriptor, KillSwitch(experiment, home=Path(home), interval=0.0).killed)
