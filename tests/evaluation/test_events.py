"""New scores, as the SDK's own in-memory exporter got them."""

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from shadoweval import Experiment
from shadoweval.evaluation.events import ScoreEvents, exporting_scores, keeping
from shadoweval.records import Envelope, PairScore, Scored, Unscored
from shadoweval.scoring import per_arm
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import make_observation, make_query
from shadoweval.worker.trace_ids import root_ids


@per_arm(version="kind/1", made_by={"model": "gpt-4.1", "prompt": "Is it kind?"})
def kind(answer):
    return 1


def score(candidate, number=1):
    return PairScore(
        metric="kind", query_id=f"q-{number}", incumbent=Scored(1.0), candidate=candidate, scorer_version="kind/1"
    )


@pytest.fixture(name="experiment")
def _experiment(tmp_path):
    home = Settings(home=str(tmp_path))
    return Experiment(name="e", candidates={"new": "a:b"}, scorers=[kind], settings=home)


@pytest.fixture(name="exporter")
def _exporter():
    return InMemoryLogRecordExporter()


@pytest.fixture(name="logger")
def _logger(exporter):
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    yield provider.get_logger("test")
    provider.shutdown()


def test_a_score_is_an_event_of_the_run_that_was_scored(experiment, exporter, logger):
    """By the conventions' names, with who made it; the prompt by its hash."""
    ScoreEvents(experiment, events=logger).emit("new", [score(Scored(0.25))])

    (record,) = (each.log_record for each in exporter.get_finished_logs())
    assert record.event_name == "gen_ai.evaluation.result"
    assert (record.trace_id, record.span_id) == root_ids("e", "q-1", "new")
    facts = dict(record.attributes)
    assert facts.pop("shadoweval.scorer.prompt").startswith("sha256:")
    assert facts == {
        "gen_ai.evaluation.name": "kind",
        "gen_ai.evaluation.score.value": 0.25,
        "shadoweval.shadow": True,
        "shadoweval.arm": "new",
        "shadoweval.experiment.id": "e",
        "shadoweval.query.id": "q-1",
        "shadoweval.scorer.scorer": f"{__name__}:kind",
        "shadoweval.scorer.version": "kind/1",
        "shadoweval.scorer.model": "gpt-4.1",
    }


def test_what_is_unscored_has_no_value_and_quotes_nothing(experiment, exporter, logger):
    """An error has its type."""
    events = ScoreEvents(experiment, events=logger)
    events.emit("new", [score(Unscored("ValueError: secret")), score(Unscored("no answer: secret"))])

    first, second = (dict(each.log_record.attributes) for each in exporter.get_finished_logs())
    assert first["error.type"] == "ValueError"
    assert "error.type" not in second
    assert first["shadoweval.unscored"] is second["shadoweval.unscored"] is True
    assert "secret" not in repr((first, second))
    assert "gen_ai.evaluation.score.value" not in first


def test_a_backend_that_fails_costs_events_alone(experiment, tmp_path, caplog):
    """They are counted and logged."""

    class Broken:
        def emit(self, record):
            raise ConnectionError("gone")

    events = ScoreEvents(experiment, events=Broken())
    events.emit("new", [score(Scored(1.0), number) for number in range(3)])

    assert events.failed == 3
    assert [record.message for record in caplog.records] == ["scores are not exported"]


def test_nothing_is_exported_where_the_environment_says_nothing(experiment):
    """Nor where OpenTelemetry is switched off."""
    with exporting_scores(experiment, environ={}) as events:
        assert events is None
    off = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}
    with exporting_scores(experiment, environ=off) as events:
        assert events is None


def test_scores_are_kept_and_sent(experiment, tmp_path, monkeypatch, otlp):
    """To the endpoint of the environment, by the exporter that is installed."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.url)
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}") as store:
        query = make_query(1)
        store.add_envelopes(
            [Envelope(experiment="e", query=query, served=make_observation(query))], arms={query.id: ["new"]}
        )
        store.add_observation(make_observation(query, "new"))
        with keeping(experiment, "new", store=store) as keep:
            keep([score(Scored(0.5))])
        assert [each.candidate for each in store.scores("e", "new")] == [Scored(0.5)]

    assert [path for path, _ in otlp.seen] == ["/v1/logs"]
    assert b"gen_ai.evaluation.result" in otlp.seen[0][1]
