"""Who made each score."""

import hashlib

from shadoweval import Experiment, no_worse
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.evaluation.provenance import provenance_of
from shadoweval.records import Envelope
from shadoweval.scoring import latency, pairwise, per_arm, recall
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import make_observation, make_query

PROMPT = "You are a judge. Say yes or no."


@per_arm(version="kind/1", made_by={"model": "gpt-4.1", "prompt": PROMPT})
def kind(answer):
    return 1


def test_each_metric_says_its_scorer_version_model_prompt_and_labels(tmp_path):
    """A prompt by its hash; labels only where scores may rest on them."""
    labels = tmp_path / "cases.jsonl"
    labels.write_text('{"query": "q", "relevant": {"a": 1}}\n', encoding="utf-8")
    experiment = Experiment(
        name="e",
        candidates={"new": "a:b"},
        scorers=[kind, recall(5), latency()],
        labels=labels,
        settings=Settings(home=str(tmp_path)),
    )

    made = provenance_of(experiment)

    digest = hashlib.sha256(labels.read_bytes()).hexdigest()[:16]
    assert made["kind"] == {
        "scorer": f"{__name__}:kind",
        "version": "kind/1",
        "model": "gpt-4.1",
        "prompt": f"sha256:{hashlib.sha256(PROMPT.encode()).hexdigest()[:16]}",
        "labels": f"cases.jsonl sha256:{digest}",
    }
    assert made["recall@5"]["scorer"].startswith("shadoweval.scoring.retrieval")
    assert "labels" not in made["latency"]
    assert made["writes"]["scorer"] == "shadoweval.scoring.writes:Writes"


def test_another_model_is_another_version():
    """What it says is part of what is hashed."""
    versions = {
        decorate(made_by=made_by)(lambda pair: 1).version
        for decorate in (per_arm, pairwise)
        for made_by in ({"model": "a"}, {"model": "b"})
    }
    assert len(versions) >= 2


def test_labels_that_are_replaced_during_a_look_are_told_as_they_were_read(tmp_path):
    """The scores rest on those, not on what lies there when the verdict is written."""
    labels = tmp_path / "cases.jsonl"
    first = b'{"query": "q", "relevant": {"a": 1}}\r\n'
    labels.write_bytes(first)

    @per_arm(version="replacing/1")
    def replacing(answer):
        labels.write_bytes(b'{"query": "q", "relevant": {"b": 1}}\n')
        return 1

    experiment = Experiment(
        name="e",
        candidates={"new": "a:b"},
        scorers=[replacing],
        labels=labels,
        gates=[no_worse("replacing", by=0.1)],
        settings=Settings(home=str(tmp_path / "home"), store=f"sqlite:///{tmp_path / 'shadow.db'}"),
    )
    with SqlStore(experiment.settings.store_url) as store:
        query = make_query()
        served = make_observation(query)
        store.add_envelopes([Envelope(experiment="e", query=query, served=served)], arms={query.id: ["new"]})
        store.add_observation(make_observation(query, arm="new", place="shadow"))
        evaluation = evaluate(experiment, store=store)

    assert labels.read_bytes() != first
    assert evaluation.provenance["replacing"]["labels"].endswith(hashlib.sha256(first).hexdigest()[:16])
