"""Python's own reference documentation as a retrieval corpus: no download, the same on every machine.

Two sources, both shipped with the interpreter: the language reference in ``pydoc_data.topics`` and the
docstrings of the standard library. Ids are stable (``topic:with#2``, ``json.dumps``,
``pathlib.Path.read_text``, and ``argparse#2`` for the second piece of a long docstring), and the order is the
same in every process. Between Python versions a few per cent of the ids come and go, and pieces of topics may
shift by one; ``fingerprint`` tells two corpora apart. ``python -OO`` strips docstrings and leaves the topics.
"""

import hashlib
import importlib
import inspect
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

_ROOT = Path(__file__).parents[1]

# Documented modules, written out so that no module is imported by accident. Left out on purpose: modules that
# act when imported (antigravity, this, readline, rlcompleter), that need a display or a terminal (tkinter,
# turtle, idlelib, curses), that exist on one platform only (fcntl, pwd, termios, winreg ...), that are
# deprecated or were removed by 3.13 (PEP 594, PEP 632: cgi, imp, telnetlib ...), and that hold tests or
# private parts. builtins come first: of two identical texts the first keeps its id.
_MODULES = tuple(
    """
    builtins abc argparse array ast asyncio asyncio.subprocess atexit base64 bdb binascii bisect bz2
    cProfile calendar cmath cmd code codecs codeop collections collections.abc colorsys compileall
    concurrent.futures configparser contextlib contextvars copy copyreg csv ctypes ctypes.util dataclasses
    datetime dbm dbm.dumb decimal difflib dis doctest email email.charset email.contentmanager
    email.encoders email.errors email.generator email.header email.headerregistry email.message
    email.mime.application email.mime.audio email.mime.base email.mime.image email.mime.message
    email.mime.multipart email.mime.nonmultipart email.mime.text email.parser email.policy email.utils
    ensurepip enum errno faulthandler filecmp fileinput fnmatch fractions ftplib functools gc getopt getpass
    gettext glob graphlib gzip hashlib heapq hmac html html.entities html.parser http http.client
    http.cookiejar http.cookies http.server imaplib importlib importlib.abc importlib.machinery
    importlib.metadata importlib.resources importlib.util inspect io ipaddress itertools json json.decoder
    json.encoder keyword linecache locale logging logging.config logging.handlers lzma mailbox marshal math
    mimetypes mmap modulefinder multiprocessing multiprocessing.connection multiprocessing.managers
    multiprocessing.pool multiprocessing.shared_memory multiprocessing.synchronize netrc numbers opcode
    operator optparse os os.path pathlib pdb pickle pickletools pkgutil platform plistlib poplib pprint
    profile pstats py_compile pyclbr pydoc queue quopri random re reprlib runpy sched secrets select
    selectors shelve shlex shutil signal site smtplib socket socketserver sqlite3 ssl stat statistics string
    stringprep struct subprocess symtable sys sysconfig tabnanny tarfile tempfile textwrap threading time
    timeit token tokenize tomllib trace traceback tracemalloc types typing unicodedata unittest
    unittest.mock urllib.error urllib.parse urllib.request urllib.response urllib.robotparser uuid venv
    warnings wave weakref webbrowser wsgiref.handlers wsgiref.headers wsgiref.simple_server wsgiref.util
    wsgiref.validate xml.dom.minidom xml.dom.pulldom xml.etree.ElementTree xml.sax xml.sax.handler
    xml.sax.saxutils xml.sax.xmlreader xmlrpc.client xmlrpc.server zipapp zipfile zipimport zlib zoneinfo
    """.split()  # noqa: SIM905 - a list literal would fill 190 lines.
)
_SHORTEST = 20  # Characters; below it a text is a label such as "Bitwise or.".
_PIECE = 1_200  # Characters a piece is filled to: about what small embedding models read (256 tokens).
_HEADING = re.compile(r"^(?P<title>\S.*)\n(?P<rule>[*=\-~^\"]{3,})$", re.MULTILINE)
_ACCESSORS = (classmethod, staticmethod, property, cached_property)


@dataclass(frozen=True, slots=True)
class Passage:
    """One document of the corpus: a piece of a language topic, or one docstring."""

    id: str
    title: str
    text: str


@cache
def passages() -> tuple[Passage, ...]:
    """Build the corpus, once in a process.

    It is read off in an interpreter of its own, because libraries put functions of theirs in the place of standard
    ones (torch replaces `inspect.getfile`), and the corpus would depend on what was imported before. Where no process
    may be started it is read off here.
    """
    script = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from pipelines.corpus import dump; dump(sys.stdout)"
    try:
        read = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, check=True, encoding="utf-8")
    except OSError:
        return read_off()
    return tuple(Passage(**passage) for passage in json.loads(read.stdout))


def dump(out: TextIO) -> None:
    """Write the corpus as JSON."""
    json.dump([asdict(passage) for passage in read_off()], out)


def read_off() -> tuple[Passage, ...]:
    """Read the corpus off this interpreter; of identical texts the first is kept."""
    found: dict[str, Passage] = {}
    for passage in (*_topic_passages(), *_docstring_passages()):
        if len(passage.text) >= _SHORTEST:
            found.setdefault(" ".join(passage.text.split()), passage)
    return tuple(found.values())


def fingerprint(corpus: Iterable[Passage]) -> str:
    """Digest ids and texts (SHA-256, hex): the version of any index built from them."""
    digest = hashlib.sha256()
    for passage in corpus:
        for part in (passage.id, passage.text):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def _topic_passages() -> Iterator[Passage]:
    # Long topics ("compound") repeat whole short ones ("with"): shortest first, so that a repeated piece
    # keeps the id of its own topic.
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    for name in sorted(topics, key=lambda name: (len(topics[name]), name)):
        number = 0
        for title, body in _sections(topics[name], name):
            for piece in _pieces(body, by_entry=True):
                number += 1
                yield Passage(f"topic:{name}#{number}", title, piece)


def _sections(text: str, title: str) -> Iterator[tuple[str, str]]:
    start = 0
    for heading in _HEADING.finditer(text):
        yield title, text[start : heading.start()]
        title, start = heading["title"], heading.end()
    yield title, text[start:]


def _pieces(text: str, *, by_entry: bool = False) -> Iterator[str]:
    """Fill pieces of about ``_PIECE`` characters with whole paragraphs; ``by_entry`` starts one at each entry."""
    piece: list[str] = []
    length = 0
    for paragraph, following in pairwise([*_paragraphs(text), ""]):
        if piece and (length + len(paragraph) > _PIECE or (by_entry and _opens_entry(paragraph, following))):
            yield "\n\n".join(piece)
            piece, length = [], 0
        piece.append(paragraph)
        length += len(paragraph)
    if piece:
        yield "\n\n".join(piece)


def _paragraphs(text: str) -> Iterator[str]:
    """Cut at blank lines, and overlong tables at any line."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        lines: list[str] = []
        for line in paragraph.splitlines():
            if sum(map(len, lines)) + len(line) > _PIECE:
                yield "\n".join(lines)
                lines = []
            lines.append(line)
        if any(line.strip() for line in lines):
            yield "\n".join(lines)


def _opens_entry(paragraph: str, following: str) -> bool:
    # Such as "str.split(sep=None, maxsplit=-1)" over an indented explanation.
    is_signature = not paragraph.startswith(" ") and not paragraph.rstrip().endswith((".", ":"))
    return is_signature and following.startswith("   ")


def _docstring_passages() -> Iterator[Passage]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Deprecated names warn when looked at; we only read their text.
        for name in _MODULES:
            for title, text in _module_docstrings(name):
                for number, piece in enumerate(_pieces(inspect.cleandoc(text)), start=1):
                    yield Passage(title if number == 1 else f"{title}#{number}", title, piece)


def _module_docstrings(name: str) -> Iterator[tuple[str, str]]:
    try:
        module = importlib.import_module(name)
    except ImportError:  # Built without an optional library (sqlite3, lzma, ssl), or not in this version.
        return
    if module.__doc__:
        yield name, module.__doc__
    for member_name, member in _public_members(module, name):
        title = member_name if name == "builtins" else f"{name}.{member_name}"
        text = member.__doc__
        if isinstance(text, str) and not (inspect.isclass(member) and _is_generated(member, text)):
            yield title, text
        if inspect.isclass(member):
            for method, method_text in _method_docstrings(member):
                yield f"{title}.{method}", method_text


def _public_members(module: ModuleType, name: str) -> list[tuple[str, Any]]:
    """List what people look up by this name first, because the first name of a text is kept.

    That is functions before classes, an object's own name before its aliases, and bases before derived classes.
    """
    declared = getattr(module, "__all__", None)
    members: list[tuple[str, Any]] = []
    for member_name in declared or vars(module):
        # Programs replace hooks; the interpreter keeps its own as sys.__excepthook__, threading.__excepthook__ ...
        original = getattr(module, f"__{member_name}__", None) if member_name.endswith("hook") else None
        member = original or getattr(module, member_name, None)
        if member_name.startswith("_") or not (inspect.isclass(member) or inspect.isroutine(member)):
            continue
        home = getattr(member, "__module__", None) or name
        if home in {name, f"_{name}"} or ((declared or name == "builtins") and _is_standard(home)):
            members.append((member_name, member))
    return sorted(members, key=_rank)


def _is_standard(module: str) -> bool:
    # Not what a debugger or a test runner put in the place of, for instance, pdb.set_trace.
    return module.partition(".")[0] in sys.stdlib_module_names


def _rank(named: tuple[str, Any]) -> tuple[bool, bool, int, str]:
    name, member = named
    is_class = inspect.isclass(member)
    return is_class, getattr(member, "__name__", name) != name, len(member.__mro__) if is_class else 0, name


def _is_generated(owner: type, text: str) -> bool:
    # A data class or named tuple without a docstring is given its signature as one.
    return text.startswith(f"{owner.__name__}(") and "\n" not in text


def _method_docstrings(owner: type) -> Iterator[tuple[str, str]]:
    own = [base for base in owner.__mro__ if base is owner or _is_private(base)]
    inherited = [base for base in owner.__mro__ if base not in own]
    methods = {name: method for base in reversed(own) for name, method in vars(base).items()}
    for name, method in sorted(methods.items()):
        if (name.startswith("_") and name != "__init__") or not _is_method(method):
            continue
        text = getattr(method, "__func__", method).__doc__  # A static method's wrapper may have none.
        if isinstance(text, str) and all(getattr(vars(base).get(name), "__doc__", None) != text for base in inherited):
            yield name, text


def _is_private(owner: type) -> bool:
    # Its methods are documented where users meet them: _socket.socket's under socket.socket.
    return any(part.startswith("_") for part in (owner.__name__, *owner.__module__.split(".")))


def _is_method(member: Any) -> bool:
    # A built-in function kept in a class, such as logging.Formatter.converter, is documented elsewhere.
    is_function = inspect.isroutine(member) and not inspect.isbuiltin(member)
    return is_function or isinstance(member, _ACCESSORS) or inspect.isdatadescriptor(member)
