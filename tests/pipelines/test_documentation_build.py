"""What is embedded ahead: all passages, and the sentences that questions bring up."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pipelines import documentation_build
from pipelines.corpus import Passage
from pipelines.documentation_build import build
from pipelines.documentation_sentences import KnownSentences, sentences
from pipelines.documentation_vectors import WIDTH, read_text

ROOT = Path(__file__).parents[2]
CORPUS = (
    Passage("str.split", "str.split", "Return a list of the substrings. Nothing is lost."),
    Passage("shutil.rmtree", "shutil.rmtree", "Recursively delete a directory tree."),
    *(Passage(f"p{n}", f"p{n}", f"Number {n} is like no other number.") for n in range(200)),
)


class Embedding:
    """Gives questions the direction of one passage; keeps the texts and how many calls ran beside each other."""

    def __init__(self, rendezvous=None):
        self.texts, self.rendezvous = [], rendezvous

    def __call__(self, texts, /):
        self.texts += texts
        if self.rendezvous and len(texts) > 20:
            self.rendezvous.wait(timeout=30)
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
        rows = np.array([np.random.default_rng(seed).normal(size=WIDTH) for seed in seeds], dtype=np.float32)
        rows[[re.search("erase|rmtree", text) is not None for text in texts], 0] += 1000
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCUMENTATION_CACHE", str(tmp_path))
    monkeypatch.setattr(documentation_build, "passages", lambda: CORPUS)
    return tmp_path


def test_every_passage_is_embedded_and_the_sentences_of_those_that_questions_bring_up(capsys):
    """By words or by meaning: both arms' hits are read, and what no question brings up is not."""
    embed, asked = Embedding(), Embedding()
    build(["how do I split into substrings", "erase a folder"], embed)
    assert {read_text(passage) for passage in CORPUS} <= set(embed.texts)
    KnownSentences(asked)(sentences(CORPUS[:2]))
    assert asked.texts == []
    KnownSentences(asked)(sentences(CORPUS))
    assert len(asked.texts) > 150
    said = capsys.readouterr().err
    assert re.search(r"embedding passages: 202 of 202, \d+/s, 0 s left", said)
    assert re.search(r"embedding sentences: (\d+) of \1,", said)


def test_building_again_embeds_nothing_and_another_question_itself():
    """What is in the cache is not computed again."""
    again = Embedding()
    build(["erase a folder"], Embedding())
    build(["erase a folder"], again)
    assert again.texts == []
    build(["erase a folder", "erase it"], again)
    assert {text.strip() for text in again.texts} == {"erase a folder", "erase it"}


def test_batches_are_embedded_beside_each_other():
    """With two at once the two batches of passages are in work at the same time, and the result is the same."""
    build(["erase a folder"], Embedding(threading.Barrier(2)), at_once=2)
    asked = Embedding()
    KnownSentences(asked)(sentences(CORPUS[1:2]))
    assert asked.texts == []


@pytest.mark.slow
def test_the_command_finds_what_is_in_place_without_loading_a_model(cache, monkeypatch):
    """`python -m pipelines.documentation_build` again costs a second and says that all is ready."""
    monkeypatch.undo()
    monkeypatch.setenv("DOCUMENTATION_CACHE", str(cache))
    build(["erase a folder"], Embedding())
    (cache / "cases.jsonl").write_text(json.dumps({"query": "erase a folder"}) + "\n")
    command = [sys.executable, "-X", "importtime", "-m", "pipelines.documentation_build", str(cache / "cases.jsonl")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True, timeout=120)
    assert "vectors are ready" in done.stderr
    assert "torch" not in done.stderr


@pytest.mark.slow
def test_the_command_embeds_with_the_packaged_model_in_processes_of_its_own(cache):
    """A short corpus from the command line: the file of questions decides which sentences are known afterwards."""
    (cache / "cases.jsonl").write_text(json.dumps({"query": "how do I delete a directory tree"}) + "\n")
    script = (
        "import pipelines.documentation_build as b; whole = b.passages(); "
        "b.passages = lambda: tuple(p for p in whole if p.id.startswith('shutil.')); "
        "import sys; b.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, str(cache / "cases.jsonl")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True, timeout=250)
    assert "embedding sentences" in done.stderr
    asked = Embedding()
    KnownSentences(asked)(["shutil.rmtree: Recursively delete a directory tree."])
    assert asked.texts == []
