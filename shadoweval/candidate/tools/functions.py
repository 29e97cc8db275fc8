"""Plain functions as tools, without a decorator: those that the experiment names are answered by the stubs.

The code object of a named function is replaced, so that it does not matter who holds the function: a table of an
OpenAI function-calling loop, a module that imported it by name, a partial, a closure.
"""

from __future__ import annotations

import importlib
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, Final

from shadoweval import capture
from shadoweval.errors import TargetError
from shadoweval.records import Effect

__all__ = ["redirect", "structured"]

redirected: Final[dict[str, Callable[..., Any]]] = {}
"""`"module:qualname"` -> what answers its calls."""


def redirect(functions: Mapping[str, str], *, effects: Mapping[str, Effect]) -> None:
    """Have the calls of functions answered as tool calls.

    Args:
        functions: Tool name -> `"module:qualname"` of the function.
        effects: Tool name -> effect; a function that is not in it counts as a write.

    Raises:
        TargetError: there is no such Python function.
    """
    for name, target in functions.items():
        function = _function(target)
        real = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
        )
        real.__kwdefaults__ = function.__kwdefaults__
        signature = inspect.signature(function)
        redirected[target] = capture.tool(effect=effects.get(name, "unknown"), name=name)(_described(real, signature))
        function.__code__ = _leading(target, real)
        function.__defaults__ = function.__kwdefaults__ = None
        _described(function, signature)


def structured(target: str) -> bool:
    """Whether a function returns more than text, so that a record may hold it as the JSON that a model was told."""
    annotation = inspect.signature(redirected[target]).return_annotation
    return annotation not in {str, "str"}


def _described(function: Any, signature: inspect.Signature) -> Any:
    function.__signature__ = signature
    return function


def _function(target: str) -> types.FunctionType:
    module, _, qualname = target.partition(":")
    try:
        value: Any = importlib.import_module(module)
        for part in qualname.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise TargetError(target, f"Stubs(functions=...) names it, but {error}", mend="Correct the name.") from error
    if not isinstance(value, types.FunctionType) or inspect.isgeneratorfunction(value):
        why = f"Stubs(functions=...) names it, but it is a {type(value).__name__} that can't be redirected"
        raise TargetError(target, why, mend="Name a Python function or method that returns its result.")
    return value


def _leading(target: str, real: types.FunctionType) -> types.CodeType:
    """Code that calls `redirected[target]`, with the real one's free variables, which an assignment of code demands."""
    begin, wait = ("async def", "await ") if inspect.iscoroutinefunction(real) else ("def", "")
    free = real.__code__.co_freevars
    source = (
        f"def outer({', '.join(free)}):\n"
        f"    {begin} leading(*args, **kwargs):\n"
        f"        if False: {', '.join(free) or 'None'}\n"
        f"        functions = __import__({__name__!r}, fromlist=['redirected'])\n"
        f"        return {wait}functions.redirected[{target!r}](*args, **kwargs)\n"
        "    return None\n"
    )
    outer: Any = compile(source, real.__code__.co_filename, "exec").co_consts[0]
    inner = next(const for const in outer.co_consts if isinstance(const, types.CodeType))
    return inner.replace(co_name=real.__code__.co_name, co_qualname=real.__code__.co_qualname)
