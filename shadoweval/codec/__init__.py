"""Values and envelopes to bytes and back.

`freeze` makes a snapshot of any value that can be rebuilt elsewhere, as `pickle` would: plain data, and objects by
their own reduce protocol, as the name of what rebuilds them and plain data. What can't be copied raises; a reference is
never kept. There are two ways back:

- `thaw` rebuilds the value. It imports classes by name and calls them, so it is for the process that contains a
  candidate, and for a value that this process froze itself.
- `data` reads it as data, for everybody else: an object is a mapping of its fields with its class's name under
  `CLASS`. No class is looked up, whatever the bytes say.

An envelope's frame is `SE`, one byte of schema, and a msgpack array. Later schemas only append fields and extensions,
so a reader of schema n reads every schema below n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shadoweval.errors import UncopyableError
from shadoweval.records.keys import CLASS, MAX_BYTES, SCHEMA, as_text

if TYPE_CHECKING:
    from shadoweval.codec.envelopes import canonical, decode_envelope, encode_envelope
    from shadoweval.codec.freezing import freeze, plain, quick_object
    from shadoweval.codec.reading import data, data_of, read_as
    from shadoweval.codec.sizes import crowded, elements, heft
    from shadoweval.codec.thawing import thaw

__all__ = [
    "CLASS",
    "MAX_BYTES",
    "SCHEMA",
    "UncopyableError",
    "as_text",
    "canonical",
    "crowded",
    "data",
    "data_of",
    "decode_envelope",
    "elements",
    "encode_envelope",
    "freeze",
    "heft",
    "plain",
    "quick_object",
    "read_as",
    "thaw",
]

_MODULES: Final = {
    "canonical": "envelopes",
    "crowded": "sizes",
    "data": "reading",
    "data_of": "reading",
    "decode_envelope": "envelopes",
    "elements": "sizes",
    "encode_envelope": "envelopes",
    "freeze": "freezing",
    "heft": "sizes",
    "plain": "freezing",
    "quick_object": "freezing",
    "read_as": "reading",
    "thaw": "thawing",
}
"""Name -> module, loaded at the first use: a process that only mirrors texts needs none of them."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as above

    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value
