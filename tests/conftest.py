import os
import time
import uuid

import pytest
from hypothesis import HealthCheck, settings

# No test depends on how fast the machine is: examples have no deadline, and slow generation is no fault.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

SERVER = os.environ.get("SHADOWEVAL_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")


def _drop(connection, schema):
    """Sessions of processes that a test has killed may end a moment later than it."""
    import psycopg

    for left in reversed(range(20)):
        try:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")
        except psycopg.errors.DeadlockDetected:
            if not left:
                raise
            time.sleep(0.5)
        else:
            return


@pytest.fixture(name="url", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service("postgresql"))])
def _url(request, tmp_path):
    """An empty one, of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shadow.db'}"
        return
    import psycopg

    try:
        connection = psycopg.connect(SERVER, autocommit=True, connect_timeout=60)
    except psycopg.OperationalError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no PostgreSQL at {SERVER!r}: {error}")
    schema = f"t{uuid.uuid4().hex[:12]}"
    with connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield f"{SERVER}?options=-csearch_path%3D{schema}"
        _drop(connection, schema)


@pytest.fixture(scope="session")
def _model_server():
    from tests.apps.fake_openai import FakeOpenAI

    server = FakeOpenAI()
    yield server
    server.stop()


@pytest.fixture
def server(_model_server):
    """A model's server on the loopback that speaks OpenAI's API and remembers nothing of earlier tests."""
    for memory in (_model_server.seen, _model_server.faults, _model_server.answers):
        memory.clear()
    return _model_server
