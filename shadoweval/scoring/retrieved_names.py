"""By which names what was retrieved may be cited: rank, id, part of an id, URL, title, words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from shadoweval.records import Hit

__all__ = ["RetrievedNames", "address_of", "folded"]

_IS_URL: Final = re.compile(r"https?://|www\.|[\w-]+\.[\w.-]+/")
_TITLE: Final = 4
"""Characters of the shortest title."""


class RetrievedNames:
    """What was retrieved, by whatever it may be cited."""

    def __init__(self, hits: Sequence[Hit]) -> None:
        self._ranks = {hit.rank for hit in hits}
        self._ids = [folded(hit.id) for hit in hits]
        self._names = {name for each in self._ids for name in _names_of(each)}
        self._shapes = {_shape(each) for each in self._ids}
        self._texts = [folded(hit.text).lstrip("#*_ ") for hit in hits if hit.text]

    def ranked(self, number: int) -> bool:
        """Whether a hit has that rank, or the number as its id."""
        return number in self._ranks or str(number) in self._names

    def named(self, name: str) -> bool:
        """Whether a hit is known by the name, or its text begins with it as with a title."""
        name = folded(name).strip("\"'\u201c\u201d*_ ")
        return bool(name) and (name in self._names or address_of(name) in self._names or self._titled(name))

    def _titled(self, name: str) -> bool:
        begun = [text[len(name) :][:1] for text in self._texts if text.startswith(name)]
        return len(name) >= _TITLE and any(not each.isalnum() for each in begun)

    def linked(self, url: str) -> bool:
        """Whether a name or URL is a hit's, or the URL stands in a hit's text."""
        address = address_of(folded(url))
        return self.named(url) or (_IS_URL.match(url) is not None and any(address in text for text in self._texts))

    def quoted(self, text: str) -> bool:
        """Whether the text stands in a hit's."""
        return any(folded(text).strip() in each for each in self._texts)

    def like_an_id(self, name: str) -> bool:
        """Whether it is written as the ids are, so that it must be meant as one: doc-99 beside doc-7."""
        shape = _shape(folded(name))
        return "9" in shape and shape in self._shapes


def folded(text: str) -> str:
    """In lower case, with single spaces: as names are compared."""
    return " ".join(text.casefold().split())


def address_of(url: str) -> str:
    """A URL without what makes no difference: scheme, www, query of a tracker, fragment, slash at its end."""
    return re.sub(r"^https?://(?:www\.)?|[?&]utm_[^#]*|#.*$", "", url).rstrip("/.")


def _names_of(hit_id: str) -> set[str]:
    """A hit's id and what is left of it without folders, part and extension; a URL without its scheme."""
    whole = re.sub(r"[#:?@][^/]*$", "", hit_id)
    names = {part for name in (hit_id, address_of(hit_id), whole) for part in (name, name.rpartition("/")[2])}
    return {each for name in names for each in (name, re.sub(r"\.[a-z]\w{0,4}$", "", name)) if each}


def _shape(name: str) -> str:
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", name)) if " " not in name else ""
