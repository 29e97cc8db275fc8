"""One self-contained HTML file: no network, no script needed to read the verdict, opens anywhere.

Queries and answers are hostile input: Jinja2 escapes everything, and the page's content security policy allows no
network and only the one script and style whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from shadoweval._optional import require
from shadoweval.checks import checked_instance, checked_keywords
from shadoweval.private import write_private
from shadoweval.records import Evaluation
from shadoweval.records.keys import as_text
from shadoweval.reporting.table import as_script, packed_tables
from shadoweval.reporting.texts import Texts, carrying
from shadoweval.reporting.view import page
from shadoweval.reporting.written import note_report

__all__ = ["report"]


def _text(name: str) -> str:
    return (resources.files("shadoweval.reporting") / "templates" / name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    jinja2 = require("jinja2", extra="store", needed_for="The HTML report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.loader = jinja2.FunctionLoader(_text)
    return environment.get_template("report.html.j2")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def render(
    evaluation: Evaluation, *, command: str = "", texts: Texts = "full", against: Evaluation | None = None
) -> str:
    """The page as text."""
    evaluation = carrying(evaluation, texts)
    script, style = _text("report.js"), _text("report.css") + _text("queries.css")
    return _template().render(
        **page(evaluation, command=command, against=against),
        tables=as_script(packed_tables(evaluation)),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


@checked_keywords()
def report(
    evaluation: Evaluation,
    path: str | Path,
    *,
    command: str = "",
    mode: int = 0o600,
    texts: Texts = "full",
    against: Evaluation | None = None,
) -> Path:
    """Write the page to `path` (folders are made) and return it. A reader never sees half a file.

    With `against`, an earlier evaluation of the same experiment, it says what changed since: decisions, gates, metrics
    that became better or worse, versions.

    It quotes queries and answers, unless `texts` is `none` (`short`: their beginnings), so only this user reads it,
    unless `mode` says otherwise (`0o644`: everybody). Where it is, is written down beside the experiment's files:
    `shadoweval erase` names reports that hold words of what was erased.

    Raises:
        OSError: it can't be written there.
        MissingExtraError: jinja2 is not installed.
    """
    target = Path(checked_instance("report(path)", path, (str, Path)))
    checked_instance("report(evaluation)", evaluation, Evaluation, mend="Pass what evaluate() returned.")
    if against is not None:
        mend = "Pass an evaluation that evaluate() returned before."
        checked_instance("report(against)", against, Evaluation, mend=mend)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    html = render(evaluation, command=command, texts=texts, against=against)
    write_private(partial, as_text(html).encode())
    partial.chmod(mode)
    partial.replace(target)
    note_report(target, evaluation, texts=texts)
    return target
