"""What msgpack lacks: the extensions in which values of other types are written."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec

from shadoweval.records.keys import as_text

__all__ = ["extension", "read_text"]

TUPLE, SET, FROZENSET = 1, 2, 3
"""A list of the parts; of a set in the order of their bytes."""
OBJECT: Final = 4
"""An object made without its constructor: its class, and its attributes by name (of an enum its value).

Of a pydantic model that has more: also the names of the fields that were set, extra fields, private attributes.
"""
TEXT: Final = 5
"""A value by its text: its type and the text; of a time also its fold and time zone, where the text does not say."""
PAIRS: Final = 6
"""A mapping with keys that msgpack has not, as pairs."""
REDUCED: Final = 7
"""What `__reduce_ex__` gave: what makes it, with which arguments, and as `LATER` its state, items, pairs and setter."""
GLOBAL: Final = 8
"""A class or function, by name."""
SHARED: Final = 9
"""What is at several places, at the first: its number, and as `LATER` what it is."""
REFERENCE: Final = 10
"""The same at the others: its number."""
LATER: Final = 11
"""Encoded, to be read when what it is part of is there."""

encode: Final = msgspec.msgpack.Encoder().encode
decode_raw: Final = msgspec.msgpack.Decoder().decode
"""Leaves extensions as they are."""

_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "int": int,
    "complex": complex,
    "Decimal": decimal.Decimal,
    "datetime": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "UUID": uuid.UUID,
}


_MOST_BITS: Final = 13_000
"""Of an integer in data; with more it has no decimal text (sys.set_int_max_str_digits), and can't be shown."""


def extension(code: int, content: Any) -> msgspec.msgpack.Ext:
    """The extension, with its content encoded."""
    return msgspec.msgpack.Ext(code, encode(content))


def read_text(parts: list[Any], *, exact: bool) -> Any:
    """The value of a `TEXT`. `exact`: with lone surrogates and the time zone, which may be an object."""
    name, text, *more = parts
    if name == "str":
        return text.decode("utf-8", "surrogatepass") if exact else as_text(text.decode("utf-8", "surrogatepass"))
    if name == "hex":  # as decimal digits it takes time that grows with their square, and Python refuses
        number = int(text, 16)
        return number if exact or number.bit_length() <= _MOST_BITS else text
    value = _READERS[name](text)
    return value.replace(fold=more[0], tzinfo=more[1]) if more and exact else value
