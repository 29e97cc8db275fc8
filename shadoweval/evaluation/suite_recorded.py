"""A suite against the recorded main branch: what pull requests are judged by, without key and network.

The candidate is the working tree, run live: its retrieval, its code, its prompts. What it asks of models it is answered
from the recording, by request. So a change that breaks retrieval is found by the gates, one that edits a comment
passes, and one that edits a prompt asks what nobody has answered yet: beyond a few such requests nothing is judged.
"""

from __future__ import annotations

import ipaddress
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from shadoweval.candidate.tools.exchanges import ASKED, EXCHANGES, Asked, Exchange
from shadoweval.clock import Clock, utc_now
from shadoweval.evaluation.cases import Case
from shadoweval.evaluation.recordings import (
    Recording,
    RecordingError,
    read_recording,
    suite_name,
    write_recording,
)
from shadoweval.evaluation.suite import Playing, SuiteOptions, SuiteRun, case_file, chosen_cases, complete
from shadoweval.evaluation.suite_setting import set_apart
from shadoweval.experiment import Experiment
from shadoweval.records import INCUMBENT, Arm, Envelope, Query, Verdict

__all__ = ["bless", "play_recorded"]

_WORKING_TREE: Final = "working-tree"
"""The candidate where none is named: the incumbent's target, as it stands in the working tree."""
_L = TypeVar("_L", Asked, Exchange)
_MOST_MISSES: Final = 0.02
_SHOWN: Final = 3


def play_recorded(
    experiment: Experiment,
    file: Path,
    *,
    cases: str | Path | None = None,
    candidates: Sequence[Arm] = (),
    options: SuiteOptions = SuiteOptions(),  # noqa: B008 - frozen
    clock: Clock = utc_now,
) -> SuiteRun:
    """Run a suite against a recording. `candidates`: names; empty: the working tree.

    Raises:
        RecordingError: the recording can't be used, or lacks all of the cases.
        CaseFileError, ExperimentError, UnknownCandidateError: as of `suite.play`.
    """
    source = case_file(experiment, cases)
    every = chosen_cases(source, options=options)
    recording = read_recording(file, suite_name(experiment, source))
    return _judged(experiment, recording, every, file=file, candidates=candidates, options=options, clock=clock)


def bless(
    experiment: Experiment,
    file: Path,
    *,
    cases: str | Path | None = None,
    options: SuiteOptions = SuiteOptions(),  # noqa: B008 - frozen
    clock: Clock = utc_now,
) -> SuiteRun:
    """Run the incumbent live, record it, and run the working tree against that; the file is written if that works.

    Raises:
        CaseFileError, ExperimentError: as of `suite.play`.
        RecordingError: the file holds something else.
    """
    source = case_file(experiment, cases)
    options = msgspec.structs.replace(
        options, attributes=(), only=frozenset()
    )  # a part would take the place of the whole
    suite = chosen_cases(source, options=options)
    with tempfile.TemporaryDirectory(prefix="shadow-bless-") as path:
        own = set_apart(experiment, Path(path) / "home", usd=options.usd)
        folder = Path(path) / "exchanges"
        folder.mkdir()
        own.sandbox = replace(own.sandbox, writable=[*own.sandbox.writable, str(folder)])
        once = msgspec.structs.replace(options, repeats=1)
        playing = Playing(own, suite, options=once, clock=clock, exchanges=("record", str(folder)))
        served = complete(playing.incumbent())
        exchanges = _lines(folder, EXCHANGES, Exchange)
    about = {"experiment": experiment.name, "incumbent": str(experiment.target(INCUMBENT)), "at": f"{clock():%Y-%m-%d}"}
    envelopes = {each.query.identity: each for each in served}
    recording = Recording(about=about, envelopes=envelopes, exchanges=exchanges)
    run = _judged(experiment, recording, suite, file=file, candidates=(), options=options, clock=clock)
    if all(verdict.why != "error" for verdict in run.evaluation.verdicts):
        write_recording(file, suite_name(experiment, source), about=about, served=served, exchanges=exchanges)
    return run


def _judged(
    experiment: Experiment,
    recording: Recording,
    every: Sequence[Case],
    *,
    file: Path,
    candidates: Sequence[Arm],
    options: SuiteOptions,
    clock: Clock,
) -> SuiteRun:
    arms = {name: experiment.target(name) for name in candidates} or {_WORKING_TREE: experiment.target(INCUMBENT)}
    suite, remarks = _recorded_cases(recording, every, file=file)
    with tempfile.TemporaryDirectory(prefix="shadow-suite-") as path:
        folder = Path(path) / "exchanges"
        folder.mkdir()
        own = set_apart(experiment, Path(path) / "home", usd=options.usd, candidates=arms)
        remarks += _set_offline(own, folder, file=file)
        playing = Playing(own, suite, options=options, clock=clock, exchanges=("replay", str(folder)))
        queries = playing.queries()
        recording.write_exchanges(folder, queries)
        served = [_served(query, recording) for query in queries]
        evaluation = playing.judged(list(arms), store_file=Path(path) / "suite.db", served=served)
        asked = _lines(folder, ASKED, Asked)
    places = {query.id: place for place, query in enumerate(queries)}  # which process had which case is chance
    misses = sorted((each for each in asked if not each.recorded), key=lambda each: places.get(each.query, len(places)))
    verdicts = tuple(_held_for(misses, verdict, of=len(asked)) for verdict in evaluation.verdicts)
    about = f"{recording.about.get('incumbent')}, recorded on {recording.about.get('at')}"
    notes = (*evaluation.notes, f"A suite of {len(suite)} cases against {about}; {len(asked)} requests were replayed.")
    evaluation = msgspec.structs.replace(evaluation, verdicts=verdicts, notes=notes)
    if 0 < len(misses) <= _MOST_MISSES * len(asked):  # else the verdicts say it
        remarks.append(_misses_sentence(misses, of=len(asked)))
    return SuiteRun(evaluation=evaluation, cases=suite, observations=dict(playing.observations), remarks=tuple(remarks))


def _recorded_cases(recording: Recording, every: Sequence[Case], *, file: Path) -> tuple[tuple[Case, ...], list[str]]:
    """The cases that were recorded as they are, and what is to be said of the others.

    Raises:
        RecordingError: there are none.
    """
    suite = tuple(case for case in every if case.identity in recording.envelopes)
    new = [case for case in every if case.identity not in recording.envelopes]
    if not suite:
        raise RecordingError(file, f"it has none of the {len(every)} cases")
    if not new:
        return suite, []
    shown = "; ".join(case.id or case.shown for case in new[:_SHOWN])
    more = f"; and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
    return suite, [f"{len(new)} cases are new since the recording, and are not judged: {shown}{more}"]


def _set_offline(own: Experiment, folder: Path, *, file: Path) -> list[str]:
    """Have candidates reach services of this host alone, and judge what a recording can be compared by.

    Returns what is left out, in words.

    Raises:
        RecordingError: nothing is left.
    """
    allow = [endpoint for endpoint in own.sandbox.allow if _local(endpoint)]
    writable = [*own.sandbox.writable, str(folder)]
    own.sandbox = replace(own.sandbox, allow=allow, rate={}, writable=writable)
    own.rerun = 0.0
    timed = [gate for gate in own.gates if own.metrics[gate.base].like_with_like]
    own.gates = tuple(gate for gate in own.gates if gate not in timed)
    if timed and not own.gates:
        why = "each gate compares with an incumbent that runs beside the candidate"
        raise RecordingError(file, why, mend="Run both arms live: without --shadow-baseline.")
    return [f"not judged against a recording: '{gate.sentence}'" for gate in timed]


def _local(endpoint: str) -> bool:
    host = endpoint.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _served(query: Query, recording: Recording) -> Envelope:
    """What the incumbent did, as if it had done it for this query just now."""
    envelope = recording.envelopes[query.identity]
    query = msgspec.structs.replace(query, inputs=envelope.query.inputs)  # of a turn with what was answered before
    served = msgspec.structs.replace(envelope.served, query_id=query.id, started_at=query.asked_at)
    return msgspec.structs.replace(envelope, query=query, served=served)


def _held_for(misses: Sequence[Asked], verdict: Verdict, *, of: int) -> Verdict:
    """The verdict, held as an error where the recording has answered too little; what is proven worse stays so."""
    if len(misses) <= _MOST_MISSES * of:
        return verdict
    sentence = _misses_sentence(misses, of=of)
    if verdict.rolls_back:
        return msgspec.structs.replace(verdict, notices=(*verdict.notices, sentence))
    return msgspec.structs.replace(verdict, decision="hold", why="error", reasons=(sentence, *verdict.reasons))


def _misses_sentence(misses: Sequence[Asked], *, of: int) -> str:
    """How many requests nobody has answered yet, which, and what to do."""
    shown = dict.fromkeys(f"{each.shown} (case {each.query})" for each in misses)
    named = "; ".join(list(shown)[:_SHOWN])
    more = f"; and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return (
        f"{len(misses)} of {of} requests ({len(misses) / of:.0%}) are not in the recording, and were given what was "
        f"answered at their place: {named}{more}. Run it with a model (without --shadow-baseline), or record it: "
        "--shadow-bless."
    )


def _lines(folder: Path, pattern: str, kind: type[_L]) -> tuple[_L, ...]:
    decode = msgspec.json.Decoder(kind).decode
    lines = (line for file in sorted(folder.glob(pattern)) for line in file.read_bytes().split(b"\n") if line)
    return tuple(decode(line) for line in lines)
