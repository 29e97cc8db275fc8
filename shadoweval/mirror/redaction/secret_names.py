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


_SIGNS: Final = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "wort",
    "contrase",
    "senha",
    "cred",
    "auth",
    "string",
    "cookie",
)
_BEFORE: Final = 96
_SIGN = r"=>|:=?|(?<![=!<>])=(?!=)"
_REST = r"""\s{0,3}(\\?["']|)(?![\s"'\\\[{<$%*(=])"""
_BETWEEN: Final = re.compile(f"(?:{_SIGN}){_REST}")
_BETWEEN_IN_PROSE: Final = re.compile(rf"(?:{_SIGN}|\b(?i:is|was)\b){_REST}")
_SAID: Final = tuple(
    f"{name} {verb} "
    for name in ("word", "wort", "passwd", "pwd", "phrase", "code", "key", "token", "secret", "pin", "otp")
    for verb in ("is", "was")
)
_NAME: Final = re.compile(
    r"""(?:([A-Za-z]{2,16}) )?(?<![A-Za-z0-9])([A-Za-z0-9][\w.\-]{0,63})(\\?["']?\]?)(\s{0,3})\Z"""
)
_QUOTED: Final = {
    '"': re.compile(r'[^"\\\r\n]{1,512}'),
    "'": re.compile(r"[^'\\\r\n]{1,512}"),
    "": re.compile(r"""[^\s"'&;,<>{}\[\]()`\\]{1,512}"""),
}
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
    between = _BETWEEN_IN_PROSE if any(said in small for said in _SAID) else _BETWEEN
    for assignment in between.finditer(text):
        start = assignment.start()
        if start < done:
            continue
        name = _name_before(text, max(done, start - _BEFORE), start)
        if name is None:
            continue
        value = _QUOTED[assignment[1][-1:]].match(text, assignment.end())
        if value is not None and (assignment[1] or _is_value(name, assignment[0], value)):
            parts += (text[done : assignment.end()], "[SECRET]")
            done = value.end()
    return "".join([*parts, text[done:]]) if parts else text


def _name_before(text: str, begin: int, end: int) -> re.Match[str] | None:
    """The secret's name that ends here, alone (`password`) or with the word before it (`api key`)."""
    window = text[begin:end]
    small = window.casefold()
    if not any(sign in small for sign in _SIGNS):
        return None
    # The last two words are enough, and looking for them from the end costs no more than they are long.
    stripped = window.rstrip()
    cut = stripped.rfind(" ", 0, max(0, stripped.rfind(" ")))
    name = _NAME.search(window, cut + 1)
    if name is None:
        return None
    return name if is_secret_name(name[2]) or (name[1] and is_secret_name(f"{name[1]}_{name[2]}")) else None


def _is_value(name: re.Match[str], between: str, value: re.Match[str]) -> bool:
    """Whether a bare word behind a secret's name is one."""
    word, text, small = value[0].rstrip(".!?"), value.string, name[2].casefold()
    if text[value.end() : value.end() + 1] == "(":  # a call
        return False
    if between.strip().casefold() in {"is", "was"}:
        return len(word) >= _LETTERS and _ODD.search(word) is not None
    if name[3] or (between == "=" and not name[4]):
        return len(word) >= (1 if "pass" in small or "pwd" in small else _LETTERS)
    last = text[value.end() : value.end() + 1] in {"", "\n", "\r"}
    return len(word) >= _LETTERS and (last or small.endswith(("passwd", "pwd")) or _ODD.search(word) is not None)
