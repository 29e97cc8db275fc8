"""The corpus: large, stable, quiet to build, and made of texts worth finding."""

import pydoc_data.topics
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.corpus import Passage, fingerprint, passages

ROOT = Path(__file__).parents[2]
BUILD = "import pipelines.corpus as c; print(c.fingerprint(c.passages()))"


@pytest.fixture(scope="module")
def texts():
    return {passage.id: passage.text for passage in passages()}


def build(*options, before="pass"):
    command = [sys.executable, *options, "-c", f"{before}; {BUILD}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)


def test_ids_are_unique_and_documents_are_thousands(texts):
    """At least 3,000 documents, each under an id of its own."""
    assert len(texts) == len(passages()) >= 3_000


def test_no_text_comes_twice(texts):
    """A text that several names share is kept under one of them."""
    assert len({" ".join(text.split()) for text in texts.values()}) == len(texts)


def test_texts_are_pieces_of_readable_size(texts):
    """Neither labels nor chapters: between 20 and about 1,200 characters (one line more at most)."""
    assert all(20 <= len(text) <= 1_500 for text in texts.values())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("json.dumps", "formatted ``str``"),
        ("pathlib.Path.read_text", "text mode"),
        ("concurrent.futures.ThreadPoolExecutor.__init__", "max_workers"),
        ("socket.socket.connect", "remote address"),  # Written for the private base _socket.socket.
        ("str.maketrans", "translation table"),  # A static method.
        ("property", "fget"),
        ("OSError", "Base class for I/O related errors."),  # Not under its alias EnvironmentError.
        ("time.localtime", "local time"),  # Not under logging.Formatter.converter, an alias of it.
        ("random.choice", "random element"),  # Not under random.Random.choice.
        ("topic:with#1", "context manager"),  # Not under topic:compound, which repeats it.
    ],
)
def test_documents_carry_the_name_people_look_for(texts, name, words):
    """A text that several names share is found under the one that people know."""
    assert words in texts[name]


def test_methods_are_not_repeated_by_subclasses(texts):
    """Inherited texts stay with the class that wrote them."""
    assert "logging.Handler.setLevel" in texts
    assert "logging.StreamHandler.setLevel" not in texts


def test_language_topics_are_whole(texts):
    """Nothing of a topic but its headings and grammar rules of a few characters is lost when it is cut up."""
    written = " ".join(pydoc_data.topics.topics["try"].split())
    kept = " ".join(text for name, text in texts.items() if name.startswith("topic:try#"))
    words = set(written.split()) - set(kept.split())
    assert len(kept.split()) > 0.9 * len(written.split())
    assert all(set(word) <= set('*="~^-') or word.strip('"').isalpha() for word in words)


def test_two_processes_build_the_same_corpus(texts):
    """Hash randomisation and import order do not change ids, texts or their order."""
    assert build("-R").stdout == build().stdout == fingerprint(passages()) + "\n"


@pytest.mark.parametrize(
    "before",
    [
        "import sys, threading; threading.excepthook = sys.excepthook = sys.unraisablehook = lambda *_: None",
        "import pdb, pytest; pdb.set_trace = pytest.set_trace",
    ],
)
def test_what_programs_replace_changes_nothing(before):
    """A program with hooks of its own, such as a test runner or a crash reporter, has the same corpus."""
    assert build(before=before).stdout == build().stdout


def test_building_warns_of_nothing():
    """Deprecated modules and names are passed over without a warning, even where warnings are errors."""
    assert build("-W", "error").stderr == ""


def test_the_corpus_is_built_once_per_process():
    """Later callers are given the same tuple."""
    assert passages() is passages()


def test_fingerprint_tells_corpora_apart():
    """A change of an id, of a text, of the order, or of the border between id and text changes the fingerprint."""
    one, two = Passage("a", "a", "first text"), Passage("b", "b", "second text")
    others = [
        [one],
        [two, one],
        [one, Passage("c", "b", "second text")],
        [one, Passage("b", "b", "second  text")],
        [one, Passage("bs", "b", "econd text")],
    ]
    marks = {fingerprint([one, two]), *map(fingerprint, others)}
    assert len(marks) == 1 + len(others)
