"""Summaries of many tickets at once, with a limit on concurrency."""

import asyncio

from openai import AsyncOpenAI


class Summarizer:
    def __init__(self, concurrency=4):
        self.client = AsyncOpenAI(max_retries=0)
        self.limit = asyncio.Semaphore(concurrency)

    async def summarize(self, ticket):
        async with self.limit:
            response = await self.client.responses.create(model="gpt-4o-mini", input=ticket)
            return response.output_text

    async def summarize_all(self, tickets):
        return await asyncio.gather(*(self.summarize(ticket) for ticket in tickets), return_exceptions=True)


async def main(tickets):
    service = Summarizer()
    try:
        return await service.summarize_all(tickets)
    finally:
        await service.client.close()
