"""A search service: a route for the query, a reranking step, JSON in and out."""

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

DOCUMENTS = {
    "d1": "sorting a list in place with list.sort",
    "d2": "reading a file line by line",
    "d3": "sorting any iterable with sorted",
}


def score(query, text):
    words = set(query.lower().split())
    return len(words & set(text.lower().split())) / max(len(words), 1)


def search(query, limit):
    found = [{"id": key, "text": text, "score": score(query, text)} for key, text in DOCUMENTS.items()]
    return sorted(found, key=lambda doc: -doc["score"])[:limit]


async def handle(request):
    body = await request.json()
    limit = int(request.query_params.get("limit", 2))
    docs = search(body["query"], limit)
    return JSONResponse({"answer": docs[0]["text"], "documents": docs})


app = Starlette(routes=[Mount("/v1", routes=[Route("/search/{index}", handle, methods=["POST"])])])
