"""Every exception of the project.

    ShadowEvalError
    ├── ExperimentError                 an Experiment's definition can't be used
    │   ├── UnknownCandidateError       no candidate of that name
    │   ├── UnknownMetricError          a gate names a metric that no scorer makes
    │   ├── MissingMarginError          a gate without a margin
    │   ├── ArgumentError               an argument whose value can't be used
    │   │   └── ShareError              a share outside [0, 1]
    │   ├── UnknownArgumentError        an argument of that name does not exist
    │   └── TargetError                 "module:attribute" that can't be imported or has the wrong shape
    ├── CodecError                      bytes that are no envelope of ours
    │   ├── CorruptFrameError           truncated, wrong checksum or not ours
    │   ├── NewerSchemaError            written by a later version
    │   └── UncopyableError             a value that can't become bytes
    │       └── TooLargeError           a value over its size cap
    ├── CaseFileError                   a line of a case file that can't be read
    ├── SettingsError                   a setting with a value that can't be used
    ├── StoreError                      the store can't be used
    │   ├── NewerDatabaseError          its schema is newer than this version
    │   └── UnstorableError             it can't hold one of these records; without it the others can be kept
    ├── MissingExtraError               an optional dependency isn't installed
    ├── WrongModelWeightsError          model weights with another hash than the pinned one
    ├── FlagFileError                   a flag file that can't be used
    ├── LadderError                     a step that a rollout ladder does not allow
    ├── EmbeddingError                  an embedding function that gave no vectors
    ├── ToolRefusedError                a tool call that no policy answers; raised inside the candidate
    ├── ToolFailedError                 a tool call answered with the recorded one's failure
    └── CandidateError                  a candidate process that can't be started

Catch the root to catch all of them. Each message says what happened, why, and
how to mend it; the objects stay on the exception as attributes.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "ArgumentError",
    "CandidateError",
    "CaseFileError",
    "CodecError",
    "CorruptFrameError",
    "EmbeddingError",
    "ExperimentError",
    "FlagFileError",
    "LadderError",
    "MissingExtraError",
    "MissingMarginError",
    "NewerDatabaseError",
    "NewerSchemaError",
    "SettingsError",
    "ShadowEvalError",
    "ShareError",
    "StoreError",
    "TargetError",
    "TooLargeError",
    "ToolFailedError",
    "ToolRefusedError",
    "UncopyableError",
    "UnknownArgumentError",
    "UnknownCandidateError",
    "UnknownMetricError",
    "UnstorableError",
    "WrongModelWeightsError",
    "closest",
]


_SHOWN = 200  # characters of a wrong value that its error shows


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"


def closest(name: str, names: Iterable[str]) -> str:
    """` Did you mean 'x'?` where one of the names is much like `name`, else nothing."""
    import difflib  # noqa: PLC0415 - for mistakes alone; commands and applications start without it

    close = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


class ShadowEvalError(Exception):
    """Root of every exception of this project."""


class ExperimentError(ShadowEvalError):
    """An Experiment's definition can't be used."""


class UnknownCandidateError(ExperimentError):
    """The experiment has no candidate of that name."""

    def __init__(self, candidate: str, *, experiment: str, known: Iterable[str]) -> None:
        self.candidate, self.experiment, self.known = candidate, experiment, tuple(known)
        super().__init__(
            f"Experiment {experiment!r} has no candidate {candidate!r}. It has: {_listed(self.known)}."
            + closest(candidate, self.known)
        )


class UnknownMetricError(ExperimentError):
    """A gate names a metric that none of the experiment's scorers makes."""

    def __init__(self, metric: str, *, experiment: str, known: Iterable[str]) -> None:
        self.metric, self.experiment, self.known = metric, experiment, tuple(known)
        super().__init__(
            f"Experiment {experiment!r} has a gate over {metric!r}, but none of its scorers makes that metric. "
            f"They make: {_listed(self.known)}. Add the scorer or correct the name." + closest(metric, self.known)
        )


class ArgumentError(ExperimentError, ValueError):
    """An argument whose value can't be used."""

    def __init__(self, what: str, value: object, *, expected: str, mend: str = "") -> None:
        self.what, self.value, self.expected = what, value, expected
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        super().__init__(f"{what} must be {expected}, got {shown}. {mend.strip()}".rstrip())


class UnknownArgumentError(ExperimentError, TypeError):
    """Something was called with an argument that it does not have."""

    def __init__(self, argument: str, *, of: str, known: Iterable[str], mend: str = "") -> None:
        self.argument, self.of, self.known = argument, of, tuple(known)
        super().__init__(
            f"{of} has no argument {argument!r}. "
            + (mend or f"It has: {', '.join(self.known)}.{closest(argument, self.known)}")
        )


class MissingMarginError(ExperimentError):
    """A gate was written without its margin."""

    def __init__(self, gate: str, metric: str, *, mend: str) -> None:
        self.gate, self.metric = gate, metric
        super().__init__(
            f"{gate}({metric!r}) has no margin, so it would decide nothing: margins have no default, because only "
            f"you know how much worse is still good enough. Write {mend}."
        )


class ShareError(ArgumentError):
    """A share of the traffic that is no number in [0, 1]."""

    def __init__(self, what: str, value: object, *, mend: str = "") -> None:
        super().__init__(what, value, expected="a number from 0 to 1 (a share, not a percentage)", mend=mend)


class TargetError(ExperimentError):
    """A `"module:attribute"` that can't be imported, or whose object has the wrong shape."""

    def __init__(self, target: str, why: str, *, mend: str) -> None:
        self.target, self.why, self.mend = target, why, mend
        super().__init__(f"Can't use {target!r}: {why}. {mend}")


class CodecError(ShadowEvalError):
    """Bytes that can't be read, or a value that can't be written."""


class CorruptFrameError(CodecError):
    """A frame that is truncated, fails its checksum or was not written by us; `frame` keeps the bytes."""

    def __init__(self, why: str, *, frame: bytes = b"") -> None:
        self.why, self.frame = why, frame
        super().__init__(f"Corrupt envelope of {len(frame)} bytes: {why}. It is set aside; the rest goes on.")


class NewerSchemaError(CodecError):
    """An envelope written by a later version than this one can read."""

    def __init__(self, schema: int, known: int) -> None:
        self.schema, self.known = schema, known
        super().__init__(
            f"Envelope of schema {schema}, but this version reads up to {known}. Upgrade shadoweval where the worker "
            "runs; the envelope is kept."
        )


class UncopyableError(CodecError):
    """A value that can't become bytes, so the call is not mirrored (a reference would not be a snapshot)."""

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why.encode("utf-8", "replace").decode()  # a class may say anything of itself
        super().__init__(f"Can't copy {path or 'the value'}: {self.why}.")


class TooLargeError(UncopyableError):
    """A value over its size cap."""

    def __init__(self, path: str, *, cap: int) -> None:
        self.cap = cap
        super().__init__(path, f"larger than the cap of {cap:,} bytes; raise max_bytes to mirror such calls")


class CaseFileError(ShadowEvalError):
    """A line of a case file that can't be read."""

    def __init__(self, path: str, line: int, why: str) -> None:
        self.path, self.line, self.why = path, line, why
        super().__init__(f"{path}, line {line}: {why}.")


class SettingsError(ShadowEvalError):
    """A setting whose value can't be used."""

    def __init__(self, name: str, value: object, *, why: str) -> None:
        self.name, self.value, self.why = name, value, why
        super().__init__(f"Setting {name!r} = {value!r}: {why}" + ("" if why.endswith("?") else "."))


class StoreError(ShadowEvalError):
    """The store can't be used; `passing`: by what may be gone at the next try."""

    passing = False


class UnstorableError(StoreError):
    """The store works, and can't hold one of the records that it was given, however often it is tried."""


class NewerDatabaseError(StoreError):
    """The database was written by a later version of shadoweval."""

    def __init__(self, url: str, schema: str, known: str) -> None:
        self.url, self.schema, self.known = url, schema, known
        super().__init__(
            f"The database {url!r} has schema {schema!r}, which this version (schema {known!r}) does not know. It was "
            "written by a later shadoweval: upgrade this one, or point it at another database. Nothing was changed."
        )


class MissingExtraError(ShadowEvalError, ImportError):
    """An optional dependency isn't installed."""

    def __init__(self, module: str, *, extra: str, needed_for: str) -> None:
        self.module, self.extra, self.needed_for = module, extra, needed_for
        super().__init__(
            f"{needed_for} needs {module!r}, which is not installed. Install it with: pip install 'shadoweval[{extra}]'"
        )


class WrongModelWeightsError(ShadowEvalError):
    """Model files whose hash is not the pinned one; they were not loaded."""

    def __init__(self, path: str, *, expected: str, found: str) -> None:
        self.path, self.expected, self.found = path, expected, found
        super().__init__(
            f"{path!r} has SHA-256 {found}, expected {expected}. It was not loaded: it is damaged or replaced. "
            "Reinstall the package that ships it."
        )


class FlagFileError(ShadowEvalError):
    """A flag file that can't be used: nothing it names is mirrored until it is mended."""

    def __init__(self, why: str, *, line: int | None = None) -> None:
        self.why, self.line = why, line
        super().__init__(why if line is None else f"line {line}: {why}")


class LadderError(ShadowEvalError):
    """A step that the ladder does not allow."""

    def __init__(self, experiment: str, candidate: str, why: str) -> None:
        self.experiment, self.candidate, self.why = experiment, candidate, why
        super().__init__(f"Candidate {candidate!r} of {experiment!r} stays where it is: {why}")


class EmbeddingError(ShadowEvalError):
    """An embedding function returned something that is no vector for each text."""


class ToolRefusedError(ShadowEvalError):
    """A tool call of a candidate that no policy answers. An agent may catch it and go on."""

    def __init__(self, tool: str, effect: str) -> None:
        self.tool, self.effect = tool, effect
        super().__init__(
            f"Tool {tool!r} (effect {effect!r}) was refused: this run is a shadow, it may not change anything, and "
            "no recorded result or stub answers this call."
        )


class ToolFailedError(ShadowEvalError):
    """A tool call that is answered with the failure of the recorded one, whose exception type is not known here."""

    def __init__(self, tool: str, error: str) -> None:
        self.tool, self.error = tool, error
        super().__init__(f"Tool {tool!r} failed when it was recorded, and fails here in the same way: {error}")


class CandidateError(ShadowEvalError):
    """A candidate process that can't be started."""
