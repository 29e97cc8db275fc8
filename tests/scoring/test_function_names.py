"""Functions that do otherwise have other names, and so other versions of what they score."""

import functools
import subprocess
import sys

import pytest

from shadoweval.scoring import consistency, semantic_similarity, support, token_f1
from shadoweval.scoring.function_names import name_of


def above(least, of=len):
    def judge(_, text):
        return of(text) > least

    return judge


def named(_, text):
    return bool(text)


def recursive():
    def judge(one, text):
        return text == "" or judge(one, text[1:])

    return judge


@pytest.mark.parametrize(
    "make",
    [
        lambda: above(1),
        lambda: above(2),
        lambda: above(1, of=str.count),
        lambda: lambda _, text: text == "a",
        lambda: lambda _, text: text == "b",
        lambda: lambda _, text, least=1: len(text) > least,
        lambda: functools.partial(named, "x"),
        lambda: functools.partial(named, "y"),
        lambda: named,
        recursive,
    ],
)
def test_what_is_made_again_has_its_name_again(make):
    """No address is in it, and no other function of these has it."""
    assert name_of(make()) == name_of(make())
    assert "0x" not in name_of(make())


def test_what_does_otherwise_is_called_otherwise():
    """By the values that it holds, by its defaults, by its code, by what is bound."""
    functions = [above(1), above(2), above(1, of=named), lambda _, t: t == "a", lambda _, t: t == "b", lambda _, t=1: t]
    functions += [functools.partial(named, "x"), functools.partial(named, "y"), functools.partial(named, text="x")]
    assert len({name_of(function) for function in functions}) == len(functions)


def test_a_name_is_the_same_in_every_process():
    """Stored scores hold for the next look, which is another process with another order of hashes."""
    code = (
        "from shadoweval.scoring.function_names import name_of; words = {'a', 'b', 'c', 'd'};"
        "print(name_of((lambda words: lambda _, text: text in words or text in {'x', 'y', 'z'})(words)))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


@pytest.mark.parametrize(
    "scorer",
    [
        lambda function: support(entails=function),
        lambda function: semantic_similarity(function),
        lambda function: token_f1(function),
        lambda function: consistency(agree=function),
    ],
    ids=["support", "semantic_similarity", "token_f1", "consistency"],
)
def test_scores_by_another_lambda_are_of_another_version(scorer):
    """A stored score holds as long as its scorer's version does; a function of a module is its name."""
    one, two = scorer(lambda a, b="": a == b), scorer(lambda a, b="": a != b)
    assert one.version != two.version
    assert scorer(named).version == scorer(named).version
