"""A chat model behind a cache that production shares."""

import asyncio

from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

asked = []


class Model(BaseChatModel):
    @property
    def _llm_type(self):
        return "counting"

    def _generate(self, messages, stop=None, run_manager: CallbackManagerForLLMRun | None = None, **settings):
        asked.append(messages[-1].text)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("the candidate's"))])


class SemanticCache(InMemoryCache):
    """Answers whatever is asked, as a semantic cache does with what is similar."""

    writes = 0

    def lookup(self, prompt, llm_string):
        return [ChatGeneration(message=AIMessage("the incumbent's"))]

    def update(self, prompt, llm_string, return_val):
        type(self).writes += 1


cache = SemanticCache()
set_llm_cache(cache)
model = Model()
own = Model(cache=InMemoryCache())


def ask(question):
    answers = [model.invoke(question).text, asyncio.run(model.ainvoke(question)).text, own.invoke(question).text]
    own.invoke(question)
    return f"{answers} after {len(asked)} calls, {cache.writes} writes, {len(own.cache._cache)} entries"
