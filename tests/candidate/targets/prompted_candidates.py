"""Candidates whose models are given system prompts."""

from langchain_core.language_models import FakeListChatModel

model = FakeListChatModel(responses=["yes"])


def prompted(question):
    return model.invoke([("system", f"Be short. Today is Monday, {len(question)} May."), ("human", question)]).content


def otherwise(question):
    return model.invoke([("system", "Be long. Today is Friday, 1 June."), ("human", question)]).content


def unprompted(question):
    return model.invoke(question).content
