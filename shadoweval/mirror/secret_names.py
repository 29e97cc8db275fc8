"""Names under which secrets stand: `dbPassword`, `X-Api-Key`, `session_token`, in whatever spelling."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["assigned", "is_secret_name"]

_BOUND: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")
_ANYWHERE: Final = re.compile(
    r"passwor[dt]|passwd|passphrase|passcode|kennwort|contrase|motdepasse|clientsecret|appsecret"
)
_WORDS: Final = frozenset(
    {"pwd", "secret", "secrets", "cookie", "cookies", "authorization", "credential", "credentials", "senha"}
)
_ENDINGS: Final = re.compile(
    r"(?:api|access|account|auth|client|encryption|master|private|secret|service|shared|signing|ssh|storage|subscription)"
    r"_?keys?$|connection_?string$|(?:^|_)pass$|(?:access|api|auth|bearer|csrf|id|jwt|refresh|security|session|xsrf)token$"
)
_ALONE: Final = frozenset({"auth", "cvc", "cvv", "jwt", "otp", "pin", "ssn", "apikey", "token"})
_TOKENS_OF_TEXT: Final = frozenset(
    {
        *("bos", "cls", "end", "eos", "fim", "mask", "pad", "sep", "special", "start", "stop", "tool", "unk"),
        *("first", "input", "last", "max", "min", "new", "num", "output", "per", "total"),
        *("continuation", "cursor", "next", "page", "prev", "sync"),
    }
)
"""Before `token` these make a piece of text, a count or a place in a list."""


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether what stands under this mapping key, field or argument is a secret."""
    words = [word.casefold() for word in _BOUND.split(name[:256]) if word and not word.isdigit()]
    if not words:
        return False
    whole = "_".join(words)
    if whole in _ALONE or not _WORDS.isdisjoint(words) or _ANYWHERE.search(whole.replace("_", "")):
        return True
    if words[-1] == "token":
        return words[-2] not in _TOKENS_OF_TEXT
    return _ENDINGS.search(whole) is not None


_SIGNS: Final = ("pass", "pwd", "secret", "token", "key", "kennwort")
_ASSIGNED: Final = re.compile(
    r"""(?i)(?<![a-z0-9])([a-z0-9][\w.\-]{0,63}+)(\\?["']?\]?)(\s{0,3}(?::=|=>|[=:]|\b(?:is|was)\b)\s{0,3})"""
    r"""(\\?["']|)(?![\s"'\\\[{<$%*(])"""
)
_QUOTED: Final = {
    '"': re.compile(r'[^"\\\r\n]{1,512}'),
    "'": re.compile(r"[^'\\\r\n]{1,512}"),
    "": re.compile(r"""[^\s"'&;,<>{}\[\]()`\\]{1,512}"""),
}
_WORD_BEFORE: Final = re.compile(r"([A-Za-z]{2,16}) $")
_ODD: Final = re.compile(r"\d|[a-z][A-Z]|[!@#$%^*+/=~]")
_LETTERS: Final = 4


def assigned(text: str, small: str) -> str:
    """`text` without the values behind secrets' names: `password=...`, `"api_key": "..."`, `the password is ...`.

    `small` is the text in lower case. In prose `Password: must be long` names no password: a bare word behind a colon
    counts only where it looks like a secret, or is all that follows in its line.
    """
    if not any(sign in small for sign in _SIGNS):
        return text
    parts: list[str] = []
    done = 0
    for found in _ASSIGNED.finditer(text):
        if found.start() < done or not _names_secret(found, text):
            continue
        value = _QUOTED[found[4][-1:]].match(text, found.end())
        if value is not None and (found[4] or _is_value(found, value, text)):
            parts += (text[done : found.end()], "[SECRET]")
            done = value.end()
    return "".join([*parts, text[done:]]) if parts else text


def _names_secret(found: re.Match[str], text: str) -> bool:
    """Whether the word names a secret, alone or with the one before it (`api key`)."""
    name = found[1]
    if is_secret_name(name):
        return True
    if not name.casefold().endswith(("key", "keys", "word", "string")):
        return False
    before = _WORD_BEFORE.search(text[max(0, found.start() - 24) : found.start()])
    return before is not None and is_secret_name(f"{before[1]}_{name}")


def _is_value(found: re.Match[str], value: re.Match[str], text: str) -> bool:
    """Whether a bare word behind a secret's name is one."""
    word, between = value[0].rstrip(".!?"), found[3]
    if text[value.end() : value.end() + 1] == "(":  # a call
        return False
    if between.strip() in {"is", "was"}:
        return len(word) >= _LETTERS and _ODD.search(word) is not None
    if between == "=" or found[2]:
        return len(word) >= (1 if "pass" in found[1].casefold() or "pwd" in found[1].casefold() else _LETTERS)
    last = text[value.end() : value.end() + 1] in {"", "\n", "\r"}
    named = found[1].casefold().endswith(("passwd", "pwd"))  # no words of prose
    return len(word) >= _LETTERS and (last or named or _ODD.search(word) is not None)
