"""Candidates that search with Qdrant's client, and try to write by it."""

from qdrant_client import QdrantClient, models

from shadoweval.adapters.qdrant import watch


def filled():
    client = QdrantClient(":memory:")
    client.create_collection("d", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE))
    client.upsert(
        "d", points=[models.PointStruct(id=i, vector=[1.0, i / 10], payload={"text": f"t{i}"}) for i in (1, 2)]
    )
    return client


watched = watch(filled(), exact=True)


def searches(text):
    points = watched.query_points("d", query=[1.0, 0.1], limit=2).points
    return f"{len(points)} points for {text}"


def writes_watched(text):
    """Once the client is watched it stands for production's."""
    watched.upsert("d", points=[models.PointStruct(id=7, vector=[1.0, 0.7])])
    return f"wrote for {text}"


def writes_to_server(text):
    """A client that nobody watches, made in the run."""
    client = QdrantClient(url=text, check_compatibility=False, timeout=5)
    client.delete("d", points_selector=[1])
    return "deleted"


def fills_its_own(text):
    """An index in the run's own memory is no world."""
    return f"{filled().count('d').count} points for {text}"
