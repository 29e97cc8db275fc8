"""What secrets and personal data look like in a text.

Tokens have the prefixes that their issuers document, and that the scanners gitleaks (gitleaks/gitleaks,
config/gitleaks.toml) and detect-secrets (Yelp/detect-secrets) go by. Those are no libraries for a request path: the one
is a program, the other reads files line by line and says where, not what to write instead. Every pattern takes time in
proportion to the text, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from shadoweval.mirror.redaction.secret_names import assigned, is_secret_name

__all__ = ["redact_secrets"]


def _forms(*forms: tuple[str, str]) -> Sequence[tuple[str, re.Pattern[str]]]:
    return [(sign, re.compile(rf"(?<![A-Za-z0-9]){form}")) for sign, form in forms]


_TOKENS: Final = _forms(
    # OpenAI, Anthropic, OpenRouter and those that copied them: letters with dashes alone are a name ("sk-learn-...").
    ("sk-", r"sk-(?:(?:proj|ant|admin|svcacct|or|lf)-[\w\-]{16,}|[A-Za-z0-9]{20,}|(?=[A-Za-z\-_]{0,64}\d)[\w\-]{20,})"),
    ("k_live_", r"[srp]k_live_[A-Za-z0-9]{10,}"),  # Stripe
    ("k_test_", r"[srp]k_test_[A-Za-z0-9]{10,}"),
    ("whsec_", r"whsec_[A-Za-z0-9+/]{16,}=*"),
    ("gsk_", r"gsk_[A-Za-z0-9]{20,}"),  # Groq
    ("xai-", r"xai-[A-Za-z0-9]{20,}"),
    ("pplx-", r"pplx-[A-Za-z0-9]{20,}"),
    ("nvapi-", r"nvapi-[\w\-]{20,}"),
    ("hf_", r"hf_[A-Za-z0-9]{30,}"),
    ("r8_", r"r8_[A-Za-z0-9]{30,}"),  # Replicate
    ("lsv2_", r"lsv2_[a-z]{2}_\w{16,}"),  # LangSmith
    ("pcsk_", r"pcsk_\w{20,}"),  # Pinecone
    ("tvly-", r"tvly-[\w\-]{16,}"),  # Tavily
    ("github_pat_", r"github_pat_\w{30,}"),
    *((f"gh{kind}_", rf"gh{kind}_[A-Za-z0-9]{{30,}}") for kind in "pousr"),
    *(
        (f"gl{kind}-", rf"gl{kind}-[\w\-.]{{20,}}")  # GitLab
        for kind in ("pat", "dt", "rt", "rtr", "ptt", "cbt", "ft", "oas", "imt", "agent", "soat", "ffct")
    ),
    ("glsa_", r"glsa_\w{20,}"),  # Grafana
    ("AKIA", r"AKIA[0-9A-Z]{16}"),  # AWS
    ("ASIA", r"ASIA[0-9A-Z]{16}"),
    ("AIza", r"AIza[\w\-]{35}"),  # Google
    ("ya29.", r"ya29\.[\w\-.]{20,}"),
    ("GOCSPX-", r"GOCSPX-[\w\-]{20,}"),
    ("SG.", r"SG\.[\w\-]{16,32}\.[\w\-]{16,64}"),  # SendGrid
    ("npm_", r"npm_[A-Za-z0-9]{30,}"),
    ("pypi-", r"pypi-AgE[\w\-]{50,}"),
    ("dckr_pat_", r"dckr_pat_[\w\-]{20,}"),
    ("xox", r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9\-]{10,}"),  # Slack
    ("xapp-", r"xapp-\d-[A-Za-z0-9\-]{20,}"),
    ("hooks.slack", r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/]{20,}"),
    ("dop_v1_", r"dop_v1_[a-f0-9]{40,}"),  # DigitalOcean
    ("dapi", r"dapi[a-f0-9]{32}"),  # Databricks
    ("hvs.", r"hvs\.[\w\-]{20,}"),  # Vault
    ("shp", r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}"),  # Shopify
    ("ATATT3", r"ATATT3[\w\-=]{50,}"),  # Atlassian
    ("ntn_", r"ntn_[A-Za-z0-9]{30,}"),  # Notion
    ("lin_api_", r"lin_api_[A-Za-z0-9]{30,}"),
    (":AA", r"\d{8,10}:AA[\w\-]{32,}"),  # Telegram
    ("AGE-SECRET", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
)
# RFC 7519: header, claims, signature; the signature may be empty. What may stand in it may not stand before it, else a
# text of beginnings alone would be read once for each.
_JWT: Final = re.compile(r"(?<![\w\-])eyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]*")
_BEARER: Final = re.compile(
    r"\b((?i:bearer|basic))(\s{1,4})(?=[A-Za-z._~+/\-]{0,64}(?:[\d_=]|[a-z][A-Z]))[\w.~+/\-]{16,}=*"
)
_HEADER: Final = re.compile(
    r"""(?i)\b((?:proxy-)?authorization\\?["']?\s{0,2}[:=]\s{0,2}\\?["']?"""
    r"""(?:(?:bearer|basic|token|digest|apikey)\s{1,2})?)"""
    r"""(?=[^\s"'\\,;\[]{0,64}\d)[^\s"'\\,;\[]{6,}"""
)
_COOKIE: Final = re.compile(r"""(?i)\b((?:set-)?cookie\\?["']?:\s{0,2}\\?["']?)(?=[\w\-.]{1,64}=)[^"'\r\n\\\[]{3,}""")
_PRIVATE: Final = re.compile(
    r"-----BEGIN ([A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END \1-----|\Z)", re.DOTALL
)
_URL: Final = re.compile(r"\b([a-z][a-z0-9+.\-]{1,20}://[^\s:/@]{0,64}):[^\s/@]{1,256}@")
_MAIL: Final = re.compile(r"\b[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9.\-]{1,255}\.[A-Za-z]{2,24}\b")
_ALL: Final = (
    ("-----BEGIN", _PRIVATE, "[PRIVATE KEY]"),
    ("://", _URL, r"\1:[PASSWORD]@"),
    ("@", _MAIL, "[EMAIL]"),
    ("eyJ", _JWT, "[KEY]"),
    *((sign, form, "[KEY]") for sign, form in _TOKENS),
    *((sign, _BEARER, r"\1\2[TOKEN]") for sign in ("earer", "asic", "EARER", "ASIC")),
)
_FORMS: Final = {
    rare: [form for form in _ALL if next((sign for sign in "_-:." if sign in form[0]), "") == rare] for rare in "_-:."
} | {"": [form for form in _ALL if not set("_-:.").intersection(form[0])]}
"""By a letter of their sign that most texts lack."""
_IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_DIGITS: Final = re.compile(r"(?<![\w.])\+?\(?\d(?:[ \-./()]{0,2}\d){7,18}(?![\w])")
_DATE: Final = re.compile(r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}).*")
_SSN: Final = re.compile(r"\d{3}-\d{2}-\d{4}")
_CARD: Final = (13, 19)
# ISO/IEC 7812-1: payment cards begin with 2 to 6. Printed as 4-4-4-4, American Express as 4-6-5, Diners as 4-6-4.
_CARD_GROUPS: Final = re.compile(
    r"[2-6]\d{12,18}|[2-6]\d{3}(?:([ \-])\d{4}(?:\1\d{4}){2}(?:\1\d{1,3})?|[ \-]\d{6}[ \-]\d{4,5})"
)
_PHONE: Final = (8, 15)
_NATIONAL: Final = 9
_NANP: Final = (3, 3, 4)
_FEWEST_DIGITS: Final = 8


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 if position % 2 else 1)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _iban(match: re.Match[str]) -> str:
    """ISO 13616-1: moved to the end and read in base 36, the number is 1 modulo 97."""
    text = match[0].replace(" ", "")
    number = "".join(str(int(sign, 36)) for sign in text[4:] + text[:4])
    return "[IBAN]" if int(number) % 97 == 1 else match[0]


def _number(match: re.Match[str]) -> str:
    digits_text = match[0]
    groups = [group for group in re.split(r"\D+", digits_text) if group]
    digits = "".join(groups)
    if _CARD[0] <= len(digits) <= _CARD[1] and _CARD_GROUPS.fullmatch(digits_text) and _luhn(digits):
        return "[CARD]"
    if _SSN.fullmatch(digits_text):
        return "[SSN]"
    return "[PHONE]" if _is_phone(digits_text, groups) else digits_text


def _is_phone(digits_text: str, groups: Sequence[str]) -> bool:
    """Whether it is written as a phone number; years, sums and page numbers in a row are not."""
    sizes = tuple(map(len, groups))
    if not _PHONE[0] <= sum(sizes) <= _PHONE[1] or _DATE.fullmatch(digits_text):
        return False
    if digits_text.startswith("+"):  # E.123, international
        return True
    if digits_text.startswith("("):  # E.123, national: the area in brackets
        return sum(sizes) >= _NATIONAL and min(sizes) > 1
    if sizes in {_NANP, (1, *_NANP)}:
        return True
    return digits_text.startswith("0") and len(groups) > 1 and sum(sizes) >= _NATIONAL and "." not in digits_text


def redact_secrets(text: str, key: str = "") -> str:
    """Replace keys, tokens, private keys, passwords, e-mail addresses, phone, card and account numbers.

    Each by its kind in brackets, such as `[EMAIL]`. Patterns find what has a form of its own, or stands behind a name
    such as `password=`; people's names and addresses have none and stay. A text under a mapping key such as
    `dbPassword` or `api_key` is replaced whole.
    """
    if key and is_secret_name(key):
        return "[SECRET]"
    # Looking for the letters that a pattern needs costs a hundredth of looking for the pattern.
    for rare, forms in _FORMS.items():
        if rare in text:
            for sign, form, instead in forms:
                if sign in text:
                    text = form.sub(instead, text)
    if "=" in text or ":" in text or " is " in text or " was " in text:
        text = _named(text)
    if sum(map(text.count, "0123456789")) >= _FEWEST_DIGITS:
        text = _DIGITS.sub(_number, _IBAN.sub(_iban, text))
    return text


def _named(text: str) -> str:
    """What stands behind a secret's name."""
    small = text.casefold()
    if "authorization" in small:
        text = _HEADER.sub(r"\1[TOKEN]", text)
    if "cookie" in small:
        text = _COOKIE.sub(r"\1[SECRET]", text)
    return assigned(text, small)
