"""Reaching out by packages of the extra `bench`, native ones among them."""
# Packages go by their full names beside each other.
# ruff: noqa: ICN001

from __future__ import annotations

import asyncio

import aiohttp
import confluent_kafka
import duckdb
import grpc
import pandas  # noqa: F401 (pyarrow and polars would import it in each child)
import polars
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pycurl
import qdrant_client
import redis
import requests
import uvloop
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.candidate.guard.probes import probe


@probe("socket.connect")
def with_requests(world):
    requests.post(world.url, data=b"x", timeout=2)


@probe("socket.connect")
def with_aiohttp(world):
    async def main():
        async with aiohttp.ClientSession() as session, session.post(world.url, data=b"x"):
            pass

    asyncio.run(main())


@probe("socket.connect")
def with_uvloop(world):
    async def main():
        _, writer = await asyncio.open_connection(*world.tcp)
        writer.write(b"x")
        await writer.drain()

    uvloop.run(main())


@probe("socket.connect")
def with_grpc(world):
    channel = grpc.insecure_channel(f"{world.tcp[0]}:{world.tcp[1]}")
    channel.unary_unary("/x/y")(b"x", timeout=1)


@probe("socket.connect")
def with_qdrant_over_grpc(world):
    client = qdrant_client.QdrantClient(
        host=world.tcp[0], grpc_port=world.tcp[1], prefer_grpc=True, timeout=1, check_compatibility=False
    )
    client.delete_collection("x")


@probe("socket.connect")
def with_qdrant_over_http(world):
    qdrant_client.QdrantClient(url=world.url, timeout=2, check_compatibility=False).delete_collection("x")


@probe("socket.connect")
def with_confluent_kafka(world):
    producer = confluent_kafka.Producer({"bootstrap.servers": f"{world.tcp[0]}:{world.tcp[1]}", "log_level": 0})
    producer.produce("x", b"x")
    producer.flush(1)


@probe("socket.connect")
def with_pycurl(world):
    curl = pycurl.Curl()
    curl.setopt(curl.URL, world.url)
    curl.setopt(curl.TIMEOUT, 2)
    curl.perform()


@probe("socket.connect")
def with_redis(world):
    redis.Redis(host=world.tcp[0], port=world.tcp[1], socket_timeout=1, retry=Retry(NoBackoff(), 0)).set("x", "y")


@probe("open.write")
def duckdb_copy(world):
    duckdb.sql(f"copy (select 1 as a) to '{world.out}/new.csv'")


@probe("open.write")
def polars_write(world):
    polars.DataFrame({"a": [1]}).write_parquet(f"{world.out}/new.parquet")


@probe("open.write")
def pyarrow_write(world):
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), f"{world.out}/new.parquet")


@probe("open.write")
def pyarrow_csv(world):
    pyarrow.csv.write_csv(pyarrow.table({"a": [1]}), f"{world.out}/new.csv")
