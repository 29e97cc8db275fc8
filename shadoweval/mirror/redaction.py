"""Take secrets and personal data out of texts before their bytes leave the process.

A redactor gets every text of an envelope, however deeply nested, with the mapping key it stands under, and gives the
text to send instead. The same text always becomes the same, so that replays and duplicates still match.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

import msgspec

from shadoweval.capture.copying import encode

__all__ = ["Redactor", "redact_secrets", "redacted", "redacted_frame"]


class Redactor(Protocol):
    """Gives the text to send instead. Raising drops the call (`fault_redact`), never sends it as it is."""

    def __call__(self, text: str, key: str) -> str:
        """`key`: the nearest mapping key above the text; empty where there is none."""
        ...


_SECRET_KEY: Final = re.compile(
    r"(?i)(?:^|[_\-.])(?:password|passwd|pwd|secret|api[_\-]?key|access[_\-]?key|authorization|private[_\-]?key"
    r"|(?:access|refresh|auth|bearer|id)[_\-]?token)$|^token$"
)
_KEYS: Final = re.compile(
    r"\b(?:sk-(?:proj-|ant-)?[A-Za-z0-9_\-]{20,}|lsv2_[a-z]{2}_[A-Za-z0-9_]{16,}|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|github_pat_[A-Za-z0-9_]{30,}|xox[abprs]-[A-Za-z0-9\-]{10,}|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}"
    r"|AIza[0-9A-Za-z_\-]{35}|hf_[A-Za-z0-9]{30,}|eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,})"
)
_KEY_SIGNS: Final = (
    *("sk-", "lsv2_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    *("xox", "AKIA", "ASIA", "AIza", "hf_", "eyJ"),
)
_FEWEST_DIGITS: Final = 8
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/\-]{16,}=*")
_PRIVATE: Final = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
_URL: Final = re.compile(r"\b([a-z][a-z0-9+.\-]{1,20}://[^\s:/@]{0,64}):[^\s/@]{1,256}@")
_MAIL: Final = re.compile(r"\b[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9.\-]{1,255}\.[A-Za-z]{2,24}\b")
_IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_DIGITS: Final = re.compile(r"(?<![\w.])\+?\(?\d(?:[ \-./()]{0,2}\d){7,18}(?![\w])")
_DATE: Final = re.compile(r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}).*")
_CARD: Final = (13, 19)
_PHONE: Final = (8, 15)


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 if place % 2 else 1)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _iban(match: re.Match[str]) -> str:
    """ISO 13616-1: moved to the end and read in base 36, the number is 1 modulo 97."""
    text = match[0].replace(" ", "")
    number = "".join(str(int(sign, 36)) for sign in text[4:] + text[:4])
    return "[IBAN]" if int(number) % 97 == 1 else match[0]


def _number(match: re.Match[str]) -> str:
    found = match[0]
    groups = [group for group in re.split(r"\D+", found) if group]
    digits = "".join(groups)
    if _CARD[0] <= len(digits) <= _CARD[1] and re.fullmatch(r"[\d \-]+", found) and _luhn(digits):
        return "[CARD]"
    # A phone number is written as one: with +, brackets or several groups; a long plain number is an identifier.
    marked = found.startswith(("+", "("))
    grouped = len(groups) > 2 and not ("." in found and min(map(len, groups)) == 1)
    if (marked or grouped) and not _DATE.fullmatch(found) and _PHONE[0] <= len(digits) <= _PHONE[1]:
        return "[PHONE]"
    return found


def redact_secrets(text: str, key: str = "") -> str:
    """Replace keys, tokens, private keys, passwords, e-mail addresses, phone, card and account numbers.

    Each by its kind in brackets, such as `[EMAIL]`. Patterns find what has a form of its own; names and addresses have
    none and stay. A text under a key such as `password` or `api_key` is replaced whole.
    """
    if key and _SECRET_KEY.search(key):
        return "[SECRET]"
    if "-----BEGIN" in text:
        text = _PRIVATE.sub("[PRIVATE KEY]", text)
    if "://" in text:
        text = _URL.sub(r"\1:[PASSWORD]@", text)
    if "@" in text:
        text = _MAIL.sub("[EMAIL]", text)
    # Looking for the letters that a pattern needs costs a hundredth of looking for the pattern.
    if any(sign in text for sign in _KEY_SIGNS):
        text = _KEYS.sub("[KEY]", text)
    if "earer" in text or "asic" in text or "EARER" in text:
        text = _BEARER.sub(r"\1 [TOKEN]", text)
    if sum(map(text.count, "0123456789")) >= _FEWEST_DIGITS:
        text = _DIGITS.sub(_number, _IBAN.sub(_iban, text))
    return text


_TUPLE, _SET, _FROZENSET, _OBJECT = 1, 2, 3, 4


def redacted(value: Any, redact: Redactor, key: str = "") -> Any:
    """Plain data with every text in it redacted; keys of mappings stay."""
    kind = type(value)
    if kind is str:
        return redact(value, key)
    if kind is list:
        return [redacted(part, redact, key) for part in value]
    if isinstance(value, Mapping):
        found = cast("Mapping[Any, Any]", value)
        return {name: redacted(part, redact, name if type(name) is str else key) for name, part in found.items()}
    if kind is msgspec.msgpack.Ext:
        return _redacted_extension(cast("msgspec.msgpack.Ext", value), redact, key)
    return value


def _redacted_extension(value: msgspec.msgpack.Ext, redact: Redactor, key: str) -> msgspec.msgpack.Ext:
    """Inside codec's extensions: the parts of tuples and sets, the state of objects, not their class."""
    if value.code not in {_TUPLE, _SET, _FROZENSET, _OBJECT}:
        return value
    parts = msgspec.msgpack.decode(value.data)
    state = parts[1] if value.code == _OBJECT else parts
    state = redacted(state, redact, key)
    parts = [parts[0], state] if value.code == _OBJECT else state
    return msgspec.msgpack.Ext(value.code, encode(parts))


def redacted_frame(frame: bytes, redact: Redactor) -> bytes:
    """An envelope's frame with its texts redacted: question, inputs, attributes, answer, hits, tool calls, errors.

    What links records stays: ids, names of experiment, entry, tools and steps, the unit, versions.
    """
    experiment, query, served = msgspec.msgpack.decode(memoryview(frame)[3:])
    query[1] = redact(query[1], "")
    query[2] = encode(redacted(msgspec.msgpack.decode(query[2]), redact))
    query[5] = redacted(query[5], redact)
    outcome, failure = served[3], served[4]
    if outcome is not None:
        answer, hits, calls, value = outcome[:4]
        outcome[0] = None if answer is None else redact(answer, "answer")
        outcome[1] = [[hit[0], hit[1], hit[2], None if hit[3] is None else redact(hit[3], "text")] for hit in hits]
        outcome[2] = [_redacted_call(call, redact) for call in calls]
        outcome[3] = redacted(value, redact)
    if failure is not None:
        failure[2] = redact(failure[2], "message")
    for step in served[5]:
        if len(step) > 8 and step[8] is not None:
            step[8] = redact(step[8], "error")
    return frame[:3] + encode([experiment, query, served])


def _redacted_call(call: list[Any], redact: Redactor) -> list[Any]:
    error = None if call[3] is None else redact(call[3], "error")
    return [call[0], redacted(call[1], redact), redacted(call[2], redact), error, *call[4:]]
