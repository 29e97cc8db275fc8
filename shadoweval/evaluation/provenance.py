"""Who made each score: scorer, version, and where it names them its model, its prompt and the set of labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from shadoweval.experiment import Experiment

__all__ = ["provenance_of"]


def provenance_of(experiment: Experiment, content: bytes | None = None) -> dict[str, dict[str, str]]:
    """Metric -> `scorer`, `version`, what its `made_by` says (a prompt by its SHA-256), and `labels`.

    `labels` is the case file by name and content, of metrics that may rest on it. `content`: of that file as its labels
    were read, since it may be another one by now; None: as it is now.
    """
    labels = _labels(experiment, content)
    made: dict[str, dict[str, str]] = {}
    for scorer in experiment.scorers:
        own = getattr(scorer, "made_by", None)
        said = {str(key): _shown(str(key), value) for key, value in own.items()} if isinstance(own, Mapping) else {}
        for metric in scorer.metrics:
            of_answers = labels if not metric.fact_of_run else {}
            made[metric.name] = {"scorer": _identity(scorer), "version": scorer.version, **said, **of_answers}
    return made


def _identity(scorer: Any) -> str:
    """The function or class that scores, as `module:name`."""
    what: Any = getattr(scorer, "__wrapped__", None) or getattr(scorer, "score_one", None) or type(scorer)
    module, name = getattr(what, "__module__", ""), getattr(what, "__qualname__", type(what).__qualname__)
    return f"{module}:{name.partition('.<locals>')[0]}"


def _shown(key: str, value: Any) -> str:
    """A prompt is told by its hash: it is long, and may be a secret."""
    text = str(value)
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}" if key == "prompt" else text


def _labels(experiment: Experiment, content: bytes | None) -> dict[str, str]:
    if experiment.labels is None:
        return {}
    try:
        digest = hashlib.sha256(experiment.labels.read_bytes() if content is None else content).hexdigest()[:16]
    except OSError:
        return {"labels": experiment.labels.name}
    return {"labels": f"{experiment.labels.name} sha256:{digest}"}
