"""Async candidates that are bad neighbours."""

import asyncio
import os
import time


async def crash_or_not(question):
    await asyncio.sleep(0.1)
    if question == "crash":
        os._exit(1)
    await asyncio.sleep(0.1)
    return question


async def block_or_not(question):
    await asyncio.sleep(0.1)
    if question == "block":
        time.sleep(600)  # noqa: ASYNC251 - the fault itself
    await asyncio.sleep(0.1)
    return question
