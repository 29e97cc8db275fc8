import hashlib
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.corpus import Passage
from pipelines.documentation_vectors import WIDTH, VectorsMissingError, cached_vectors, read_text

ROOT = Path(__file__).parents[2]
CORPUS = tuple(Passage(f"p{number}", f"title {number}", "word " * (number % 7 + 1)) for number in range(600))


class CountingEmbed:
    """Unit vectors that depend on the text alone, and a count of the texts it was asked for."""

    def __init__(self):
        self.asked = 0

    def __call__(self, texts):
        self.asked += len(texts)
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
        rows = np.array([np.random.default_rng(seed).normal(size=WIDTH) for seed in seeds], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cache_file(folder):
    (path,) = folder.rglob("*.npz")
    return path


def test_vectors_are_computed_once_and_each_stands_in_its_passages_row(tmp_path):
    """The first call embeds every passage, whatever order suits the model; the second call embeds none."""
    embed, again, progress = CountingEmbed(), CountingEmbed(), []
    vectors = cached_vectors(CORPUS, embed, folder=tmp_path, on_progress=lambda *done: progress.append(done))
    assert np.array_equal(vectors, CountingEmbed()([read_text(passage) for passage in CORPUS]))
    assert [of for _, of in progress] == [600] * 5
    assert sum(done == 600 for done, _ in progress) == 1
    assert sorted(progress) == progress
    assert embed.asked == 600
    assert np.array_equal(cached_vectors(CORPUS, again, folder=tmp_path), vectors)
    assert again.asked == 0


@pytest.mark.parametrize("changed", [{"text": "another text"}, {"title": "another title"}, {"id": "another"}])
def test_another_corpus_has_vectors_of_its_own(tmp_path, changed):
    """Whatever changes in one passage, vectors never belong to other passages than they say."""
    cached_vectors(CORPUS, CountingEmbed(), folder=tmp_path)
    embed = CountingEmbed()
    last = replace(CORPUS[-1], **changed)
    vectors = cached_vectors((*CORPUS[:-1], last), embed, folder=tmp_path)
    assert embed.asked == 600
    assert np.array_equal(vectors[-1], embed([read_text(last)])[0])


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_cache_is_reported_and_built_again(tmp_path, caplog, kept):
    """A file cut short anywhere, even to nothing, costs a warning and one more build, never wrong vectors."""
    vectors = cached_vectors(CORPUS, CountingEmbed(), folder=tmp_path)
    path = cache_file(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    embed = CountingEmbed()
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(cached_vectors(CORPUS, embed, folder=tmp_path), vectors)
    assert embed.asked == 600
    assert "damaged" in caplog.text
    assert path.read_bytes() != b""


@pytest.mark.parametrize("place", [0.0, 0.001, 0.3, 0.7, 0.9999])
def test_a_flipped_bit_never_changes_a_vector(tmp_path, place):
    """The array's checksum is looked at on each read: the vectors are the true ones, built again if need be."""
    vectors = cached_vectors(CORPUS, CountingEmbed(), folder=tmp_path)
    path = cache_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 0x10
    path.write_bytes(content)
    assert np.array_equal(cached_vectors(CORPUS, CountingEmbed(), folder=tmp_path), vectors)


def test_vectors_of_another_shape_are_built_again(tmp_path, caplog):
    """A whole file that holds something else is no cache of ours."""
    cached_vectors(CORPUS, CountingEmbed(), folder=tmp_path)
    np.savez(cache_file(tmp_path), vectors=np.zeros((3, WIDTH), dtype=np.float32))
    with caplog.at_level(logging.WARNING):
        assert cached_vectors(CORPUS, CountingEmbed(), folder=tmp_path).shape == (600, WIDTH)
    assert "another shape" in caplog.text


def test_where_nothing_can_be_written_the_error_says_what_to_run(tmp_path):
    """A guarded process without a cache is told the command, not only that a file is missing."""
    (tmp_path / "file").write_text("no folder can be made below a file")
    with pytest.raises(VectorsMissingError, match=r"python -m pipelines\.documentation_build"):
        cached_vectors(CORPUS, CountingEmbed(), folder=tmp_path / "file")


BUILDER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from pipelines.corpus import Passage
from pipelines.documentation_vectors import WIDTH, cached_vectors
corpus = [Passage(f"p{n}", f"title {n}", "text " * 9) for n in range(600)]
folder, log, fault = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def embed(texts):
    with open(log, "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(0.2)
    return np.full((len(texts), WIDTH), 384 ** -0.5, dtype=np.float32)
def report(done, total):
    if fault == "killed" and done > 300:
        os.kill(os.getpid(), signal.SIGKILL)
vectors = cached_vectors(corpus, embed, folder=folder, on_progress=report)
print(vectors.shape, float(vectors.sum()))
"""


def start_builder(tmp_path, fault="none"):
    command = [sys.executable, "-c", BUILDER, str(tmp_path / "cache"), str(tmp_path / "log"), fault]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def test_of_processes_that_need_the_vectors_at_once_one_computes_them(tmp_path):
    """Three processes start together: one embeds the five batches, and all end with the same array."""
    builders = [start_builder(tmp_path) for _ in range(3)]
    outputs = [builder.communicate(timeout=120)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0, 0]
    assert len(set(outputs)) == 1
    assert outputs[0].startswith("(600, 384)")
    embedded_by = (tmp_path / "log").read_text().split()
    assert len(embedded_by) == 5
    assert len(set(embedded_by)) == 1


def test_a_builder_that_is_killed_leaves_neither_a_lock_nor_half_a_file(tmp_path):
    """After SIGKILL in the middle the next process builds everything, at once."""
    killed = start_builder(tmp_path, "killed")
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not list((tmp_path / "cache").rglob("*.npz"))
    after = start_builder(tmp_path)
    assert after.communicate(timeout=60)[0].startswith("(600, 384)")
    assert after.returncode == 0
