"""People's marks for the arms' answers, kept with a query's other labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select
from sqlmodel import col

from shadoweval.records import INCUMBENT, Annotation, Labels, standing
from shadoweval.store import tables
from shadoweval.store.blobs import load
from shadoweval.store.changes import merge_labels
from shadoweval.store.engine import hold
from shadoweval.store.rows import in_chunks

__all__ = ["merge_annotations"]


def merge_annotations(
    connection: Connection, experiment: str, annotations: Sequence[tuple[str, Annotation]], *, now: datetime
) -> tuple[int, list[int]]:
    """Merge annotations by query id. Returns how many are new, and the places of those about no answer that is there.

    One without a time is said now, unless its annotator's last word about it is the same.
    """
    hold(connection, "labels")
    answers = _answers(connection, experiment, {query_id for query_id, _ in annotations})
    known = _known(connection, answers)
    added: defaultdict[str, list[Annotation]] = defaultdict(list)
    unknown: list[int] = []
    for place, (query_id, each) in enumerate(annotations):
        if not {each.arm, each.over or each.arm} <= answers.get(query_id, set()):
            unknown.append(place)
            continue
        said = known.get(query_id, Labels()).merged(Labels(annotations=tuple(added[query_id]))).annotations
        last = {one.subject: (one.arm, one.mark) for one in standing(said)}
        if each.at is None and last.get(each.subject) == (each.arm, each.mark):
            continue
        timed = each if each.at is not None else msgspec.structs.replace(each, at=now)
        if timed not in said:
            added[query_id].append(timed)
    new = {query_id: Labels(annotations=tuple(each)) for query_id, each in added.items() if each}
    merge_labels(connection, new, now)
    return sum(len(each.annotations) for each in new.values()), unknown


def _answers(connection: Connection, experiment: str, query_ids: Iterable[str]) -> dict[str, set[str]]:
    """Which arms have run each query of this experiment."""
    envelope, run = tables.Envelope, tables.Observation
    answers: dict[str, set[str]] = {}
    for chunk in in_chunks(query_ids):
        asked = select(col(envelope.query_id)).where(
            col(envelope.query_id).in_(chunk), col(envelope.experiment) == experiment
        )
        answers |= {query_id: {INCUMBENT} for query_id in connection.execute(asked).scalars()}
        runs = select(col(run.query_id), col(run.arm)).where(col(run.query_id).in_(chunk))
        for query_id, arm in connection.execute(runs).all():
            if query_id in answers:
                answers[query_id].add(arm)
    return answers


def _known(connection: Connection, query_ids: Iterable[str]) -> dict[str, Labels]:
    label = tables.Label
    known: dict[str, Labels] = {}
    for chunk in in_chunks(query_ids):
        rows = connection.execute(select(col(label.name), col(label.record)).where(col(label.name).in_(chunk))).all()
        known |= {row.name: load(row.record, Labels) for row in rows}
    return known
