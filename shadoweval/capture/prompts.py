"""System prompts that a run's models were given, as digests: another one may be another release of the pipeline.

Only a recorder that asks for them (`note_prompt`), as in a candidate's process, is told; nothing is done elsewhere.
Digits and the names of days and months do not count, since prompts often say what day it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

__all__ = ["SYSTEM_PROMPTS", "note_prompts"]

SYSTEM_PROMPTS: Final = "system prompts"
"""Name of the digests, joined by commas, among an observation's versions."""
_SYSTEM: Final = frozenset({"system", "developer"})
_DATES: Final = re.compile(
    r"\d+|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b|\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|"
    r"apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b|\b[ap]m\b",
    re.IGNORECASE,
)


def note_prompts(recorder: object, messages: object) -> None:
    """Tell the recorder, if it asks, of the system prompts among messages: texts, mappings or objects, nested."""
    note: Any = getattr(recorder, "note_prompt", None)
    if note is None:
        return
    for text in _system_texts(messages):
        note(hashlib.sha256(_DATES.sub("", text).encode("utf-8", "surrogatepass")).hexdigest()[:12])


def _system_texts(messages: object) -> Iterator[str]:
    if isinstance(messages, list | tuple):
        for each in cast("list[object]", messages):
            yield from _system_texts(each)
        return
    if isinstance(messages, Mapping):
        known = cast("Mapping[str, object]", messages)
        role, content = known.get("role"), known.get("content")
    else:
        role, content = getattr(messages, "type", None), getattr(messages, "content", None)
    if role in _SYSTEM:
        yield from _texts(content)


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list | tuple):
        for part in cast("list[object]", content):
            yield from _texts(cast("Mapping[str, object]", part).get("text") if isinstance(part, Mapping) else part)
