"""Import a target and warm it up: in the fork server, or in each child where a fork can't carry what that makes."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
import threading
import time
import warnings
from concurrent.futures import thread as executor_threads
from pathlib import Path
from typing import Any, Final

import msgspec

from shadoweval import codec
from shadoweval.candidate.child import ChildSetup
from shadoweval.candidate.forkserver.entering import check_origin, versions
from shadoweval.candidate.forkserver.wire import Ready, Start
from shadoweval.candidate.guard.inherited import in_use
from shadoweval.candidate.target import load_target, warm_up
from shadoweval.candidate.tools import functions
from shadoweval.candidate.tools.stubs import Stubs
from shadoweval.candidate.version import code_version, watch_reading
from shadoweval.capture.document_parts import chosen_by
from shadoweval.errors import TargetError

__all__ = ["load", "ready"]

_PAGE: Final = resource.getpagesize()
_ENDING: Final = 0.05
"""Seconds in which a native thread that is ending is gone."""


def load(start: Start, setup: ChildSetup) -> ChildSetup:
    """Import the target and what answers its tools, and call its `warm` hook.

    Raises:
        TargetError: something can't be imported, or `warm` raised.
    """
    read_files = watch_reading()
    target = load_target(start.target)
    before = set(sys.modules)
    stubs, (extract, failures, hit_id) = _unpacked(start)
    functions.redirect(stubs.functions, effects=stubs.effects)
    of_stubs = set(sys.modules) - before
    warm_up(start.warm)
    read = read_files()
    if target.project is not None and "code" not in target.versions:
        target.versions["code"] = code_version(target.project, read, but=of_stubs)
    if start.place is not None:
        check_origin(start.target, start.place)
        target.versions |= versions(start.place)
    setup.interception.effects = stubs.effects
    setup.interception.servers = start.mcp
    structured = {tool for tool, function in stubs.functions.items() if functions.structured(function)}
    setup.interception.structured = structured
    hits = None if hit_id is None else chosen_by(hit_id)
    return msgspec.structs.replace(setup, loaded=target, stubs=stubs, extract=extract, failures=failures, hit_id=hits)


def _unpacked(start: Start) -> tuple[Stubs, Any]:
    try:
        return codec.thaw(start.stubs)
    except Exception as error:
        why = f"its stubs can't be imported in its process: {type(error).__name__}: {error}"
        raise TargetError(start.target, why, mend="Define them in an importable module.") from error


def ready(setup: ChildSetup) -> Ready:
    """What the pool is told of a fork server that has loaded, which is made as fit for forks as can be."""
    uncarried = _uncarried()
    remarks = _calm()
    data = in_use()[1] if sys.platform == "linux" else 0
    target = setup.loaded
    if target is None:  # each child loads for itself
        return Ready(False, _resident(), {}, remarks=remarks, data=data)
    return Ready(target.concurrent, _resident(), target.versions, target.parameters(), remarks, uncarried, data)


def _uncarried() -> str:
    """Why a fork can't carry what loading has made, in words; empty: it can.

    A child has the forking thread only. Sleeping threads of Python's are not missed there, or their libraries start
    them anew (monitors, exporters); what others wait for in vain is.
    """
    native = _native_threads()
    torch: Any = sys.modules.get("torch")
    workers: Any = getattr(executor_threads, "_threads_queues", {})
    if native:
        return f"{native} native threads, which a fork does not take along"
    if torch is not None and torch.cuda.is_initialized():
        return "a CUDA context, which no fork may use"
    if any(thread in workers for thread in threading.enumerate()):
        return "an executor's threads, which a fork does not take along"
    if threading.active_count() > 1 and any(_runs(each) for each in gc.get_objects()):
        return "an event loop that runs in a thread, which a fork does not take along"
    return ""


def _runs(each: Any) -> bool:
    return issubclass(type(each), asyncio.BaseEventLoop) and each.is_running()


def _native_threads() -> int:
    """Threads that Python does not know: pools of OpenMP, gRPC, onnxruntime, tokenizers (proc_pid_task(5))."""
    count = 0
    for _ in range(2):
        try:
            threads = {int(name) for name in os.listdir("/proc/self/task")}  # noqa: PTH208 - numbers
        except OSError:
            return 0
        count = len(threads - {thread.native_id for thread in threading.enumerate()})
        if not count:
            break
        time.sleep(_ENDING)
    return count


def _calm() -> list[str]:
    """Leave as little for a fork to break as possible; says what could not be helped."""
    if "torch" in sys.modules:
        torch: Any = sys.modules["torch"]
        torch.set_num_threads(1)  # a pool of OpenMP threads does not survive a fork
    warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
    gc.collect()
    gc.freeze()  # collections in children touch no page of what was imported (CPython docs, gc.freeze)
    others = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    return [f"threads at fork: {', '.join(others)}"] if others else []


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
