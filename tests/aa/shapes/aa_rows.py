"""What a shape is: a pipeline that is both arms, how its callers call it, and how it is mounted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

REGISTERED: list["Shape"] = []


@dataclass(frozen=True)
class Call:
    """What one caller passes."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """One row.

    Attributes:
        target: `"module:attribute"` of the pipeline, which both arms run.
        pipeline: The same as an object.
        calls: What callers pass; each is one query.
        mount: `(mirror, pipeline) -> what callers call`.
        consume: What a caller does with what comes back; None: awaits it where it is to be, and takes all its chunks.
        options: Further arguments of the Experiment (`sandbox=`, `outcome=`, ...).
        mirroring: Further arguments of `Experiment.mirror`.
        uncopyable: It can't be copied: every call is counted so and none is mirrored.
        fault: What is still wrong, in a sentence; the test is expected to fail, and fails when it does not.
        made_up: Tools whose results the shadow may make up (writes of which there is no record).
    """

    target: str
    pipeline: Any
    calls: tuple[Call, ...]
    mount: Callable[[Any, Any], Any]
    consume: Callable[[Any], Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    mirroring: dict[str, Any] = field(default_factory=dict)
    uncopyable: bool = False
    made_up: bool = False
    fault: str = ""

    def __str__(self) -> str:
        return self.target.partition(":")[2]


def call(*arguments: Any, **keywords: Any) -> Call:
    """One caller's arguments."""
    return Call(arguments, keywords)


def decorated(mirror: Any, pipeline: Any) -> Any:
    """The mounting of most."""
    return mirror(pipeline)


def add(module: str, name: str, pipeline: Any, *calls: Call, mount: Callable[[Any, Any], Any] = decorated, **rest: Any):
    """Make a row of an object of `module`; `calls` without any: asked `"How?"` twice."""
    calls = calls or (call("How?"), call("How?"))
    REGISTERED.append(Shape(f"{module}:{name}", pipeline, calls, mount, **rest))


def shape(*calls: Call, **rest: Any) -> Callable[[Any], Any]:
    """Make a row of a function."""

    def register(pipeline: Any) -> Any:
        add(pipeline.__module__, pipeline.__qualname__, pipeline, *calls, **rest)
        return pipeline

    return register


def shapes_of(module: str) -> Iterator[Shape]:
    """The rows of a module that is imported already."""
    return (row for row in REGISTERED if row.target.startswith(f"{module}:"))
