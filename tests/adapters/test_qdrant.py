"""Qdrant's clients: the real library, over its local mode and a server on the loopback that speaks its protocol."""

import asyncio
import inspect
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("qdrant_client")

from qdrant_client import AsyncQdrantClient, QdrantClient, models

from shadoweval.adapters.qdrant import _READS, watch
from shadoweval.capture import Recorder, recording, set_interceptor
from shadoweval.errors import ArgumentError, ToolRefusedError
from shadoweval.protocols import StubAnswer
from shadoweval.records import BRUTE_FORCE, EXACT_SEARCH, Scored
from shadoweval.scoring import index_recall
from shadoweval.testing import make_pair

sys.path.insert(0, str(Path(__file__).parents[1] / "candidate/targets"))
POINTS = [
    models.PointStruct(
        id=at, vector=[1.0, at / 10], payload={"doc_id": f"doc-{at}", "text": f"text {at}", "kind": at % 2}
    )
    for at in range(1, 6)
]
NEAR, FAR = [1.0, 0.1], [0.1, 1.0]


def filled():
    client = QdrantClient(":memory:")
    client.create_collection("d", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE))
    client.upsert("d", points=POINTS)
    return client


class Asked:
    """An interceptor that notes what it is asked and gives one answer."""

    def __init__(self, **answer):
        self.asked, self.given = [], StubAnswer(**answer)

    def answer(self, name, arguments, *, effect, live):
        self.asked.append((name, effect, arguments))
        return self.given


@pytest.fixture
def shadow():
    asked = Asked(answered="refused", error="refused")
    set_interceptor(asked)
    yield asked
    set_interceptor(None)


class Server:
    """Answers searches: by its index, which misses the first point, or exactly where the request says so."""

    def __init__(self):
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answered(self):
                body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
                outer.requests.append((self.command, self.path.partition("?")[0], body))
                result = outer.result(self.path, body)
                content = json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answered

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def points(self, search):
        exact = (search.get("params") or {}).get("exact")
        ids = range(1, 5) if exact else range(2, 6)
        return [{"id": at, "version": 1, "score": 1 - at / 10, "payload": {"doc_id": f"doc-{at}"}} for at in ids]

    def result(self, path, body):
        if path.partition("?")[0].endswith("/query/batch"):
            return [{"points": self.points(search)} for search in body["searches"]]
        if path.partition("?")[0].endswith("/query/groups"):
            return {"groups": [{"id": "g", "hits": self.points(body)}]}
        if path.partition("?")[0].endswith("/query"):
            return {"points": self.points(body)}
        return {"operation_id": 1, "status": "completed"}


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


SEARCHES = {
    "query_points": lambda c: c.query_points("d", query=NEAR, limit=4),
    "query_points by id": lambda c: c.query_points(collection_name="d", query=1, limit=4),
    "recommend": lambda c: c.query_points(
        "d", query=models.RecommendQuery(recommend=models.RecommendInput(positive=[1])), limit=4
    ),
    "query_batch_points": lambda c: c.query_batch_points(
        "d", [models.QueryRequest(query=q, limit=3, with_payload=True) for q in (NEAR, FAR)]
    ),
    "query_points_groups": lambda c: c.query_points_groups("d", "kind", query=NEAR, limit=2, group_size=2),
    "prefetch": lambda c: c.query_points(
        "d",
        prefetch=[models.Prefetch(query=NEAR, limit=3), models.Prefetch(query=FAR, limit=3)],
        query=models.FusionQuery(fusion=models.Fusion.RRF),
        limit=4,
    ),
}


def given_points(response):
    listed = response if isinstance(response, list) else [response]
    points = [p for each in listed for p in getattr(each, "points", None) or [h for g in each.groups for h in g.hits]]
    return list(dict.fromkeys(point.payload["doc_id"] for point in points))


@pytest.mark.parametrize("kind", SEARCHES)
def test_each_search_is_a_retrieval_with_its_hits(kind):
    """Ids as the application calls them, scores, texts; the answer is the client's own."""
    client = filled()
    assert watch(client) is client
    with recording(Recorder()) as recorder:
        response = SEARCHES[kind](client)
    parts = recorder.parts()
    assert recorder.fault is None
    assert [hit.id for hit in parts.hits] == given_points(response)
    assert all(hit.text == f"text {hit.id[-1]}" and hit.score is not None for hit in parts.hits)
    (step,) = parts.steps
    assert (step.kind, step.name.partition(".")[0]) == ("retrieval", "qdrant")


@pytest.mark.parametrize("kind", SEARCHES)
def test_async_clients_likewise(kind):
    """Awaited, with the same hits."""

    async def run():
        client = watch(AsyncQdrantClient(":memory:"))
        await client.create_collection("d", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE))
        await client.upsert("d", points=POINTS)
        with recording(Recorder()) as recorder:
            response = await SEARCHES[kind](client)
        return recorder, response

    recorder, response = asyncio.run(run())
    assert recorder.fault is None
    assert [hit.id for hit in recorder.parts().hits] == given_points(response)


@pytest.mark.parametrize(
    ("options", "first_hit"),
    [
        ({}, ("doc-1", "text 1")),
        ({"payload": False}, ("doc-1", None)),
        ({"payload": "kind"}, ("doc-1", "1")),
        ({"hit_id": "id"}, ("1", "text 1")),
        ({"hit_id": lambda point: f"p{point.id}"}, ("p1", "text 1")),
    ],
)
def test_ids_and_payload_by_choice(options, first_hit):
    """What a point is known by, and which of its payload is kept."""
    client = watch(filled(), **options)
    with recording(Recorder()) as recorder:
        client.query_points("d", query=NEAR)
    hit = recorder.parts().hits[0]
    assert (hit.id, hit.text) == first_hit


def test_the_experiments_hit_id_counts_where_it_fits_points():
    """One for points is taken; one for LangChain's documents is passed over."""
    client = watch(filled())
    for path, expected in (("payload.text", "text 1"), ("metadata.doc_id", "doc-1")):
        with recording(Recorder(hit_id=lambda point, path=path: attribute(point, path))) as recorder:
            client.query_points("d", query=NEAR)
        assert recorder.parts().hits[0].id == expected


def attribute(point, path):
    from shadoweval.capture.document_parts import chosen_by

    return chosen_by(path)(point)


def test_listings_are_retrievals_where_they_are_asked_for():
    """`scroll` and `retrieve` rank nothing, so they are not by themselves."""
    for listings, ids in ((False, []), (True, ["doc-1", "doc-2", "doc-3"])):
        client = watch(filled(), listings=listings)
        with recording(Recorder()) as recorder:
            client.scroll("d", limit=2)
            client.retrieve("d", ids=[3])
        assert [hit.id for hit in recorder.parts().hits] == ids


def test_a_list_that_others_make_is_theirs(shadow):
    """With `hits=False` a search is timed, and has its exact twin, but its points are no hits."""
    client = watch(filled(), hits=False, exact=True)
    with recording(Recorder()) as recorder:
        client.query_points("d", query=NEAR)
    assert recorder.parts().hits == ()
    assert [step.kind for step in recorder.parts().steps] == ["retrieval", "other"]


def test_a_search_that_fails_is_a_failed_step():
    """The client's own error reaches the caller."""
    client = watch(filled())
    with recording(Recorder()) as recorder, pytest.raises(ValueError, match="nowhere"):
        client.query_points("nowhere", query=NEAR)
    assert recorder.parts().failed_step == "qdrant.query_points"


def test_outside_a_recording_nothing_is_done():
    """Searches and writes are the client's own."""
    client = watch(filled())
    assert len(client.query_points("d", query=NEAR).points) == 5
    assert client.delete("d", points_selector=[1]).status == "completed"


def test_in_production_writes_run_and_are_recorded():
    """A tool call with its arguments and its result, as data."""
    client = watch(filled())
    with recording(Recorder()) as recorder:
        result = client.upsert("d", points=[models.PointStruct(id=9, vector=NEAR)])
        client.set_payload("d", {"kind": 5}, points=[9])
    assert recorder.fault is None
    assert isinstance(result, models.UpdateResult)
    upsert, payload = recorder.parts().tool_calls
    assert (upsert.name, upsert.effect, payload.name) == ("qdrant.upsert", "write", "qdrant.set_payload")
    assert upsert.arguments == {"collection_name": "d", "points": [{"id": 9, "vector": NEAR}]}
    assert upsert.result["status"] == "completed"
    assert client.retrieve("d", ids=[9])[0].payload == {"kind": 5}


def writing_methods():
    return [
        name
        for name, _ in inspect.getmembers(QdrantClient, inspect.isfunction)
        if not name.startswith("_") and not _READS.fullmatch(name)
    ]


def test_what_is_known_to_read_writes_nothing():
    """The list of writing methods, written out: one that is new must be looked at."""
    words = ("upsert", "upload", "update", "set_pay", "overwrite", "delete", "clear", "create", "recreate", "recover")
    others = {"batch_update_points", "migrate", "remove_peer", "cluster_collection_update", "add"}
    assert {name for name in writing_methods() if not name.startswith(words)} <= others
    assert {"upsert", "delete", "set_payload", "create_collection", "delete_collection"} <= set(writing_methods())


@pytest.mark.parametrize("name", writing_methods())
def test_no_writing_method_writes_in_a_shadow(shadow, name):
    """Each is asked of the sandbox by its name, and refused, local or not, before its arguments are looked at."""
    client = watch(filled())
    points = client.count("d").count
    with pytest.raises(ToolRefusedError, match=f"qdrant.{name}"):
        getattr(client, name)("d")
    assert [(asked[0], asked[1]) for asked in shadow.asked] == [(f"qdrant.{name}", "write")]
    assert client.count("d").count == points


def test_a_replayed_write_gives_the_clients_own_kind_of_result():
    """What the incumbent got, as the model that callers look into."""
    set_interceptor(Asked(answered="replayed", result={"operation_id": 4, "status": "completed"}))
    try:
        client = watch(filled())
        result = client.upsert("d", points=POINTS)
        aclient = watch(AsyncQdrantClient(":memory:"))
        asynchronous = asyncio.run(aclient.upsert("d", points=POINTS))
    finally:
        set_interceptor(None)
    assert result == asynchronous == models.UpdateResult(operation_id=4, status=models.UpdateStatus.COMPLETED)


@pytest.mark.parametrize("kind", [kind for kind in SEARCHES if kind != "prefetch"])
def test_index_recall_is_measured_over_a_server(server, shadow, kind):
    """The same request with `exact` set, once each; three of its four points were given."""
    client = watch(QdrantClient(url=server.url, check_compatibility=False), exact=True)
    with recording(Recorder()) as recorder:
        SEARCHES[kind](client)
    assert recorder.fault is None
    (approximate, exact) = [body for _, _, body in server.requests]
    for once, twice in zip(approximate.get("searches", [approximate]), exact.get("searches", [exact]), strict=True):
        assert twice.pop("params") == {"exact": True}
        assert {key: value for key, value in once.items() if key != "params"} == twice
    pair = make_pair(shadow={"steps": recorder.parts().steps})
    (score,) = index_recall().score(pair)
    assert score.candidate == Scored(0.75)


def test_prefetches_are_exact_too(server, shadow):
    """Hybrid searches approximate in their prefetches."""
    client = watch(QdrantClient(url=server.url, check_compatibility=False), exact=True)
    with recording(Recorder()):
        SEARCHES["prefetch"](client)
    exact = server.requests[1][2]
    assert [prefetch["params"]["exact"] for prefetch in exact["prefetch"]] == [True, True]


def test_production_searches_once(server):
    """Without an interceptor `exact=` asks nothing of the server."""
    client = watch(QdrantClient(url=server.url, check_compatibility=False), exact=True)
    with recording(Recorder()):
        client.query_points("d", query=NEAR)
    assert len(server.requests) == 1


def test_local_mode_says_that_nothing_is_approximate(shadow):
    """It is not searched again, and has no share."""
    with recording(Recorder()) as recorder:
        watch(filled(), exact=True).query_points("d", query=NEAR)
    step = recorder.parts().steps[-1]
    assert (step.name, step.value) == (f"{EXACT_SEARCH}: {BRUTE_FORCE}", None)


def test_what_is_no_client_is_refused():
    """With the line to write; wrong arguments too."""
    with pytest.raises(ArgumentError, match=r"watch\(QdrantClient"):
        watch("http://qdrant:6333")
    with pytest.raises(ArgumentError, match="exact"):
        watch(filled(), exact="yes")
    with pytest.raises(ArgumentError, match="payload"):
        watch(filled(), payload=3)


# In a candidate's process. -------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the guard's layers are Linux's")
class TestInACandidate:
    def run(self, attribute, text, **policy):
        from candidate_rig import envelope, pool_of

        from shadoweval.candidate.guard import GuardPolicy

        async def run():
            guard = GuardPolicy(scratch="", **policy)
            async with pool_of(attribute, module="qdrant_candidates", guard=guard) as pool:
                return await pool.run(envelope(text), arm="new")

        return asyncio.run(run())

    def test_searches_are_its_own(self):
        """An index that it filled at import is searched; its hits are recorded."""
        run = self.run("searches", "q")
        assert run.outcome.answer == "2 points for q"
        assert [hit.text for hit in run.hits] == ["t1", "t2"]

    def test_a_watched_client_refuses_writes(self):
        """The shadow's failure, with its cause and the line to add."""
        run = self.run("writes_watched", "q")
        assert (run.failure.kind, run.owner) == ("refused", "shadow")
        assert "qdrant.upsert" in run.failure.cause
        assert "Stubs(" in run.failure.mend
        assert run.live_writes == 0

    def test_a_client_that_nobody_watches_refuses_writes_to_a_server(self, server):
        """Though the sandbox allows the server, which never hears of it."""
        from shadoweval.candidate.guard import Endpoint

        run = self.run("writes_to_server", server.url, allow=[Endpoint("127.0.0.1", server.http.server_port)])
        assert "qdrant.delete" in run.failure.cause
        assert server.requests == []

    def test_an_index_of_its_own_is_no_world(self):
        """Filled in the run, by a client that stands for nobody's."""
        assert self.run("fills_its_own", "q").outcome.answer == "2 points for q"
