"""From `"module:attribute"` to something that runs an envelope; and what is wrong with it, in words."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final, cast

from shadoweval.candidate.forkserver.wire import Parameter
from shadoweval.candidate.version import project_of
from shadoweval.capture.third_party import called_by
from shadoweval.errors import TargetError

__all__ = ["LoadedTarget", "load_target", "mismatch", "warm_up"]

_METHODS: Final = frozenset({"invoke", "ainvoke", "stream", "astream"})
_STARRED: Final = frozenset({inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD})


class LoadedTarget:
    """An importable pipeline: a function, coroutine function, generator, callable object or LangChain Runnable."""

    def __init__(self, name: str, value: Any, module: ModuleType) -> None:
        self.name = name
        self.runnable = _is_runnable(value)
        self.ignored: tuple[str, ...] = getattr(getattr(value, "_mirrored_call", value), "ignored_by_mirror", ())
        self._value = _with_nothing_for(value, self.ignored) if self.ignored and not self.runnable else value
        self.concurrent = self.runnable or _is_async(value)
        self.project = project_of(module)
        self.versions = _versions(name, value, module)

    def call(self, entry: str) -> Callable[..., Any]:
        """What runs a query of this entry: a runnable is run by the method that the entry ends in.

        Where it does not say, by `ainvoke`, which runs what is async and what is not.
        """
        if not self.runnable:
            return self._value
        method = _method_of(entry)
        return called_by(self._value, method if hasattr(self._value, method) else "ainvoke")

    def blocks(self, entry: str) -> bool:
        """Whether `call` is one that an event loop would wait for."""
        return self.runnable and not _method_of(entry).startswith("a")

    def parameters(self) -> list[Parameter] | None:
        """Its signature for a comparison; None: it has none of its own."""
        if self.runnable:
            return None
        try:
            parameters = inspect.signature(self._value).parameters.values()
        except (TypeError, ValueError):
            return None
        parameters = [p for p in parameters if p.name not in self.ignored]
        return [Parameter(p.name, int(p.kind), p.default is not p.empty or p.kind in _STARRED) for p in parameters]


def _with_nothing_for(function: Callable[..., Any], ignored: Sequence[str]) -> Callable[..., Any]:
    """An incumbent whose mirror ignores some arguments, called without them: they are their defaults, else None."""
    absent = [
        (position, parameter, None if parameter.default is parameter.empty else parameter.default)
        for position, parameter in enumerate(inspect.signature(function).parameters.values())
        if parameter.name in ignored
    ]

    @functools.wraps(function)
    def filled(*args: Any, **kwargs: Any) -> Any:
        given = list(args)
        for position, parameter, value in absent:
            if given and position <= len(given) and parameter.kind is not parameter.KEYWORD_ONLY:
                given.insert(position, value)
            else:
                kwargs[parameter.name] = value
        return function(*given, **kwargs)

    return filled


def _method_of(entry: str) -> str:
    """The method that a query's entry ends in (`"m:graph.stream"`); `ainvoke` where it ends in none."""
    method = re.split("[.:]", entry)[-1]
    return method if method in _METHODS else "ainvoke"


def _is_runnable(value: Any) -> bool:
    return hasattr(value, "ainvoke") and hasattr(value, "invoke")


def _is_async(value: Any) -> bool:
    inner = value if inspect.isroutine(value) else getattr(value, "func", value.__call__)
    return any(test(inner) for test in (inspect.iscoroutinefunction, inspect.isasyncgenfunction))


def load_target(target: str) -> LoadedTarget:
    """Import a target.

    Raises:
        TargetError: it can't be imported or run; says which part is missing, and what is close to it.
    """
    value, module = _imported(target)
    _check_shape(target, value)
    return LoadedTarget(target, value, module)


def _imported(target: str) -> tuple[Any, ModuleType]:
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise TargetError(target, "it has no module and attribute", mend='Write "package.module:attribute".')
    module = _module(target, module_name)
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise TargetError(
                target,
                f"{module_name!r} has no {attribute!r}",
                mend=_close(part, dir(value)) or "Correct the name, or define it there.",
            )
        owner, value = value, getattr(value, part)
        if part in _METHODS and owner is not module and _is_runnable(owner):
            return owner, module  # the entry of a query of a runnable: which method it is run by, the query says
    return value, module


def _module(target: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name != missing and not name.startswith(f"{missing}."):
            raise TargetError(target, f"it imports {missing!r}, which is not installed", mend="Install it.") from error
        mend = _close(missing.rpartition(".")[2], _siblings(missing))
        mend = (
            mend
            or "Correct the name, or run where it can be imported (its folder on PYTHONPATH, or in a Target's path=)."
        )
        raise TargetError(target, f"there is no module {missing!r}", mend=mend) from error
    except BaseException as error:
        why = f"importing {name!r} raised {type(error).__name__}: {error}"
        raise TargetError(target, why, mend="Import it in a shell to see where.") from error


def _siblings(name: str) -> list[str]:
    parent = name.rpartition(".")[0]
    path: Any = None
    if parent:
        spec = importlib.util.find_spec(parent)
        path = spec.submodule_search_locations if spec else []
    return [module.name for module in pkgutil.iter_modules(path)]


def _close(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, [n for n in names if not n.startswith("__")], n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def _check_shape(target: str, value: Any) -> None:
    if isinstance(value, type):
        raise TargetError(
            target, "it is a class", mend="Make an instance in that module and name it, or name one of its functions."
        )
    if not callable(value) and not _is_runnable(value):
        raise TargetError(
            target,
            f"a {type(value).__name__} can't be called",
            mend="Name a function, a callable object or a LangChain Runnable.",
        )


def warm_up(warm: str) -> None:
    """Call `"module:attribute"`, nothing where it is empty; TargetError where it can't be imported, or raises."""
    if not warm:
        return
    hook, _ = _imported(warm)
    try:
        hook()
    except BaseException as error:
        why = f"calling it to warm up raised {type(error).__name__}: {error}"
        raise TargetError(warm, why, mend="Call it in a shell to see where.") from error


def _versions(name: str, value: Any, module: ModuleType) -> dict[str, str]:
    """The target, and what `VERSIONS` of the module or the object says; `code`, if it names none, is a digest of it."""
    named: dict[str, str] = {}
    for holder in (module, value):
        declared = getattr(holder, "VERSIONS", None)
        if isinstance(declared, Mapping):
            named.update({str(k): str(v) for k, v in cast("Mapping[Any, Any]", declared).items()})
    digest = {"code": hashlib.sha256(repr(sorted(named.items())).encode()).hexdigest()[:12]} if named else {}
    return {"target": name, **digest, **named}


def mismatch(incumbent: list[Parameter], candidate: list[Parameter]) -> str | None:
    """Why a candidate can't be called as the incumbent is, neither by position nor by name; None: it can."""
    kinds = {p.kind for p in candidate}
    plain = [p for p in candidate if p.kind not in _STARRED]
    positions = [p for p in plain if p.kind != inspect.Parameter.KEYWORD_ONLY]
    passed = [p for p in incumbent if p.kind not in _STARRED]
    names, needed = {p.name for p in passed}, [p for p in passed if not p.optional]
    takes_many = inspect.Parameter.VAR_POSITIONAL in kinds or len(positions) >= len(needed)
    by_position = (
        takes_many
        and sum(not p.optional for p in positions) <= len(passed)
        and all(p.optional or p.name in names for p in plain if p not in positions)
    )
    takes_all = inspect.Parameter.VAR_KEYWORD in kinds or {p.name for p in needed} <= {p.name for p in plain}
    by_name = takes_all and all(p.optional or p.name in names for p in plain)
    if by_position or by_name:
        return None
    return f"it takes ({_shown(candidate)}), but the incumbent is called with ({_shown(incumbent)})"


def _shown(parameters: list[Parameter]) -> str:
    stars = {int(inspect.Parameter.VAR_POSITIONAL): "*", int(inspect.Parameter.VAR_KEYWORD): "**"}
    return ", ".join(f"{stars.get(p.kind, '')}{p.name}" for p in parameters)
