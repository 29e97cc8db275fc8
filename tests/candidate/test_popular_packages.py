"""Packages that pipelines use are imported contained: what they try meanwhile breaks none of them.

A package is added as a line of `PACKAGES`: what it is imported by, and what is done with it at import, as its
quickstart does.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys

import pytest
from candidate_rig import envelope

from shadoweval import Limits
from shadoweval.candidate.guard import GuardPolicy
from shadoweval.candidate.pool import CandidatePool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the guard's layers are Linux's")

PACKAGES = {
    "aiohttp": "import aiohttp",
    "alembic": "import alembic.command",
    "anthropic": "import anthropic; anthropic.Anthropic(api_key='x')",
    "chromadb": "import chromadb",
    "concurrent.futures": "import concurrent.futures as f; assert f.ThreadPoolExecutor(2).submit(int, 7).result() == 7",
    "datasets": "import datasets",
    "duckdb": "import duckdb; assert duckdb.connect().execute('select 42').fetchall() == [(42,)]",
    "fastapi": "import fastapi; fastapi.FastAPI()",
    "google.protobuf": "import google.protobuf.message",
    "grpc": "import grpc; grpc.insecure_channel('127.0.0.1:1')",
    "httpx": "import httpx; httpx.Client()",
    "huggingface_hub": "import huggingface_hub; huggingface_hub.HfApi()",
    "jinja2": "import jinja2; assert jinja2.Template('{{ x }}').render(x=1) == '1'",
    "joblib": "import joblib; assert joblib.Parallel(1)(joblib.delayed(int)(x) for x in '1') == [1]",
    "langchain": "import langchain.agents",
    "langchain_core": "import langchain_core.runnables, langchain_core.vectorstores",
    "langchain_openai": "import langchain_openai; langchain_openai.ChatOpenAI(api_key='x', model='m')",
    "langgraph": "import langgraph.graph, langgraph.prebuilt, langgraph.checkpoint.memory",
    "langsmith": "import langsmith",
    "llama_index": "import llama_index.core",
    "matplotlib": "import matplotlib",
    "mcp": "import mcp",
    "multiprocessing": "import multiprocessing as m; m.RLock(); m.Queue(); m.Event()",
    "networkx": "import networkx",
    "nltk": "import nltk",
    "numpy": "import numpy; assert (numpy.ones((64, 64)) @ numpy.ones(64))[0] == 64",
    "onnxruntime": "import onnxruntime",
    "openai": "import openai; openai.OpenAI(api_key='x'); openai.AsyncOpenAI(api_key='x')",
    "opentelemetry.sdk": (
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter\n"
        "TracerProvider().add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))"
    ),
    "orjson": "import orjson; orjson.dumps({})",
    "pandas": "import pandas; assert pandas.DataFrame({'a': [1, 41]}).a.sum() == 42",
    "polars": "import polars; assert polars.DataFrame({'a': [1, 41]}).sum().item() == 42",
    "psycopg": "import psycopg",
    "pyarrow": "import pyarrow; pyarrow.array([1])",
    "pydantic": "import pydantic; pydantic.create_model('M', a=(int, 1))()",
    "qdrant_client": "import qdrant_client; qdrant_client.QdrantClient(':memory:')",
    "redis": "import redis; redis.Redis()",
    "requests": "import requests; requests.Session()",
    "rich": "import rich.console; rich.console.Console()",
    "scipy": "import scipy.stats, scipy.sparse; scipy.stats.norm.cdf(0)",
    "sqlalchemy": "import sqlalchemy; sqlalchemy.create_engine('sqlite://').connect().close()",
    "sqlmodel": "import sqlmodel",
    "tenacity": "import tenacity",
    "tiktoken": "import tiktoken",
    "tokenizers": (
        "from tokenizers import Tokenizer, models; Tokenizer(models.WordLevel({'a': 0}, unk_token='a')).encode('a')"
    ),
    "tqdm": "import tqdm; list(tqdm.tqdm([1]))",
    "uvloop": "import uvloop; uvloop.new_event_loop().close()",
    "yaml": "import yaml; yaml.safe_load('a: 1')",
}
HEAVY = {
    "ragas": "import ragas",
    "sentence_transformers": "import sentence_transformers",
    "sklearn": "import sklearn.linear_model, sklearn.feature_extraction.text",
    "torch": "import torch; assert (torch.ones(64, 64) @ torch.ones(64))[0] == 64",
    "transformers": "import transformers; transformers.AutoTokenizer",
}
"""Those that take seconds to import."""


def installed(names):
    return [name for name in names if importlib.util.find_spec(name.partition(".")[0]) is not None]


def check(names, tmp_path, lines):
    """Import them in one candidate, in this order; it answers, and nothing was refused."""
    module = "\n".join(lines[name] for name in names)
    (tmp_path / "imports.py").write_text(f"{module}\ndef answer(question): return question\n")

    async def run():
        settings = {"guard": GuardPolicy(scratch=""), "limits": Limits(seconds=60.0)}
        async with CandidatePool({"new": "imports:answer"}, **settings) as pool:
            return await pool.run(envelope("hi"), arm="new"), pool.remarks["new"]

    observation, remarks = asyncio.run(run())
    assert (observation.failure, observation.outcome.answer) == (None, "hi")
    assert observation.refusals == ()
    assert [remark for remark in remarks if "refused" in remark] == []


@pytest.mark.parametrize("share", range(3))
def test_packages_are_imported_contained(share, tmp_path, monkeypatch):
    """A candidate that imports them answers, and none was refused anything."""
    monkeypatch.syspath_prepend(str(tmp_path))
    check(installed(PACKAGES)[share::3], tmp_path, PACKAGES)


@pytest.mark.slow
@pytest.mark.parametrize("name", HEAVY)
def test_heavy_packages_are_imported_contained(name, tmp_path, monkeypatch):
    """The same for what takes seconds to import."""
    if not installed([name]):
        pytest.skip(f"{name} is not installed")
    monkeypatch.syspath_prepend(str(tmp_path))
    check([name], tmp_path, HEAVY)


def test_thirty_packages_are_installed():
    """The list says something only where its packages are."""
    assert len(installed(PACKAGES) + installed(HEAVY)) >= 30
