"""The flag file: a TOML file that says who may be mirrored.

    version = 7                      # optional; a file with a smaller one is refused while this one is remembered
    kill = ["checkout"]              # or true for everything: stops what is in flight too

    [cohorts]
    staff = ["u-17", "u-23"]

    [experiments.support]
    enabled = true
    share = 0.10                     # or: ramp = [[2026-03-01T08:00:00Z, 0.01], [2026-03-02T08:00:00Z, 0.10]]
    start = 2026-03-01T08:00:00Z
    stop = 2026-04-01T00:00:00Z
    salt = "support"                 # by default the experiment's name
    cohorts = ["staff"]              # in at least one of them
    regions = ["eu-west-1"]          # the attribute `region`
    headers = { x-preview = ["on"] } # names in small letters in the mapping `headers` among the attributes
    where = [{ attribute = "plan", in = ["pro", "team"] }, { attribute = "path", prefix = "/v2/" }]

All conditions must hold. An attribute that is missing meets no condition.

A unit is in while its bucket lies below the share (`shadoweval.buckets`), so whoever came in at a small share stays
in at every larger one, and the share that a model scores lies inside the share that is mirrored under the same salt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, TypeVar, cast

import msgspec

from shadoweval.buckets import within
from shadoweval.errors import FlagFileError

__all__ = ["FlagFile", "Loss", "Moment", "Share", "parse_flags"]

Loss = Literal["flag_error", "flag_off", "not_targeted", "not_sampled"]
"""Names in `counters.LOSSES`."""
Plain = str | int | float | bool
T = TypeVar("T")
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its time zone."""
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
"""A share from 0 to 1, not a percentage."""


class Ramp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Share of the units over time: one share, or steps.

    One `share` from `start` on, before `stop`; or `steps` `(when, share)` that rise in both, before the first of which
    the share is 0.

    Raises:
        ValueError: neither a share nor a ramp, or both; steps that go back or down; a stop before the start.
    """

    share: Share | None = None
    steps: tuple[tuple[Moment, Share], ...] = ()
    start: Moment | None = None
    stop: Moment | None = None

    def __post_init__(self) -> None:
        if (self.share is None) == (not self.steps):
            raise ValueError("give either `share` or `ramp`")
        if self.start is not None and self.stop is not None and self.stop <= self.start:
            raise ValueError("`stop` is not after `start`")
        for (when, share), (later, larger) in pairwise(self.steps):
            if later <= when:
                raise ValueError(f"`ramp` goes back in time: {later} after {when}")
            if larger < share:
                raise ValueError(f"`ramp` goes down from {share} to {larger}: a ramp only grows, so that members stay")

    def at(self, when: datetime) -> float:
        """Share at a time."""
        if (self.start is not None and when < self.start) or (self.stop is not None and when >= self.stop):
            return 0.0
        if self.share is not None:
            return self.share
        reached = 0.0
        for step, share in self.steps:
            if step > when:
                break
            reached = share
        return reached


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One condition on one attribute: exactly one of `equals`, `in` and `prefix`."""

    attribute: str
    equals: Plain | None = None
    any_of: tuple[Plain, ...] | None = msgspec.field(default=None, name="in")
    prefix: str | None = None

    def __post_init__(self) -> None:
        if sum(condition is not None for condition in (self.equals, self.any_of, self.prefix)) != 1:
            raise ValueError("a rule has exactly one of `equals`, `in` and `prefix`")

    def holds(self, attributes: Mapping[str, Any]) -> bool:
        """Whether the attribute is there and meets the condition. `true` is not 1, and 1 is not "1"."""
        value = attributes.get(self.attribute)
        if self.prefix is not None:
            return isinstance(value, str) and value.startswith(self.prefix)
        wanted = (self.equals,) if self.any_of is None else self.any_of
        if type(value) is str:
            return value in wanted
        if not isinstance(value, str | int | float):
            return False
        return any(value == item and isinstance(value, bool) == isinstance(item, bool) for item in wanted)


class Flag(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says about one experiment."""

    enabled: bool
    share: Share | None = None
    ramp: tuple[tuple[Moment, Share], ...] = ()
    start: Moment | None = None
    stop: Moment | None = None
    salt: str = ""
    cohorts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    headers: dict[str, tuple[str, ...]] = {}
    where: tuple[Rule, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A flag made ready: rules, members and salt resolved."""

    enabled: bool
    ramp: Ramp
    salt: str
    rules: tuple[Rule, ...]
    headers: tuple[Rule, ...]
    members: frozenset[str] | None

    def loss(self, unit: str, attributes: Mapping[str, Any], when: datetime) -> Loss | None:
        """Why the call is not mirrored."""
        share = self.ramp.at(when) if self.enabled else 0.0
        if share <= 0.0:
            return "flag_off"
        if not self._targets(unit, attributes):
            return "not_targeted"
        if share >= 1.0:
            return None
        if not unit:
            return "not_targeted"
        return None if within(share, self.salt, unit) else "not_sampled"

    def _targets(self, unit: str, attributes: Mapping[str, Any]) -> bool:
        if self.members is not None and unit not in self.members:
            return False
        for rule in self.rules:  # a loop: a generator in all() would double what a decision costs
            if not rule.holds(attributes):
                return False
        return not self.headers or self._headers_hold(attributes.get("headers"))

    def _headers_hold(self, attribute: object) -> bool:
        if not isinstance(attribute, Mapping):
            return False
        headers = cast("Mapping[str, Any]", attribute)
        return all(rule.holds(headers) for rule in self.headers)


class FlagFile(msgspec.Struct, frozen=True, kw_only=True):
    """A flag file that was read and checked."""

    version: int | None
    kill: bool | frozenset[str]
    plans: dict[str, Plan]

    def kills(self, experiment: str) -> bool:
        """Whether `kill` names the experiment."""
        return self.kill if isinstance(self.kill, bool) else experiment in self.kill


class _Shape(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    version: int | None = None
    kill: bool | tuple[str, ...] = False
    cohorts: dict[str, tuple[str, ...]] = {}
    experiments: dict[str, Any] = {}


def parse_flags(raw: bytes) -> FlagFile:
    """Read and check a flag file.

    Raises:
        FlagFileError: no TOML, an unknown key, a wrong type or range; it names the line.
    """
    try:
        text = raw.decode()
        import tomllib  # noqa: PLC0415 - most processes have no such file

        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML; tomllib's message has line and column
        line = re.search(r"at line (\d+)", str(error))
        raise FlagFileError(f"it is no TOML: {error}", line=int(line[1]) if line else None) from error
    shape = _converted(content, _Shape, text=text)
    plans = {name: _plan(name, flag, shape=shape, text=text) for name, flag in shape.experiments.items()}
    kill = shape.kill if isinstance(shape.kill, bool) else frozenset(shape.kill)
    return FlagFile(version=shape.version, kill=kill, plans=plans)


def _plan(name: str, table: Any, *, shape: _Shape, text: str) -> Plan:
    flag = _converted(table, Flag, text=text, section=name)
    unknown = [cohort for cohort in flag.cohorts if cohort not in shape.cohorts]
    if unknown:
        line = _line_of(text, "cohorts", section=name)
        known = ", ".join(map(repr, shape.cohorts)) or "none"
        raise FlagFileError(f"experiment {name!r} has no cohort {unknown[0]!r}; [cohorts] has {known}", line=line)
    try:
        ramp = Ramp(share=flag.share, steps=flag.ramp, start=flag.start, stop=flag.stop)
    except ValueError as error:
        line = _line_of(text, "ramp" if flag.ramp else "", section=name)
        raise FlagFileError(f"experiment {name!r}: {error}", line=line) from error
    rules = flag.where
    if flag.regions:
        rules = (Rule(attribute="region", any_of=flag.regions), *rules)
    headers = tuple(Rule(attribute=header.lower(), any_of=values) for header, values in flag.headers.items())
    members = frozenset(unit for cohort in flag.cohorts for unit in shape.cohorts[cohort]) if flag.cohorts else None
    return Plan(enabled=flag.enabled, ramp=ramp, salt=flag.salt or name, rules=rules, headers=headers, members=members)


def _converted(content: Any, kind: type[T], *, text: str, section: str = "") -> T:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        where = f"experiment {section!r}: " if section else ""
        raise FlagFileError(f"{where}{error}", line=_line_of(text, _key_in(str(error)), section=section)) from error


_UNKNOWN: Final = re.compile(r"unknown field `([^`]+)`")
_AT: Final = re.compile(r"at `\$\.?(\w+)")


def _key_in(message: str) -> str:
    match = _UNKNOWN.search(message) or _AT.search(message)
    return match[1] if match else ""


def _line_of(text: str, key: str, *, section: str = "") -> int | None:
    """First line that gives `key`, from the experiment's own heading on; the heading where the key is not found."""
    lines = text.splitlines()
    begin = 0
    if section:
        heading = re.compile(rf"""^\s*\[\s*experiments\s*\.\s*["']?{re.escape(section)}["']?\s*\]""")
        begin = next((i for i, line in enumerate(lines) if heading.match(line)), 0)
    if key:
        pattern = re.compile(rf"""(^|[\[{{,.\s])["']?{re.escape(key)}["']?\s*(=|\])""")
        for i, line in enumerate(lines[begin:], start=begin):
            if pattern.search(line.partition("#")[0]):
                return i + 1
    return begin + 1 if section else None
