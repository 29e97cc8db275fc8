"""A wrong name or value is an error where it is written: one row for each mistake that is easily made."""

import enum
import functools
import math
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import msgspec
import numpy as np
import pytest

from shadoweval import (
    Breaker,
    BreakerLimits,
    EntityWorld,
    Experiment,
    Gauge,
    Limits,
    Live,
    Refuse,
    Replay,
    Rules,
    Sandbox,
    Settings,
    Simulate,
    SqliteWorld,
    StaticFlags,
    Stubs,
    Traffic,
    at_least,
    at_most,
    better,
    evaluate,
    load_experiment,
    no_worse,
    open_receiver,
    open_store,
    report,
    retriever,
    step,
    tool,
)
from shadoweval.adapters.asgi import Route, ShadowASGI
from shadoweval.adapters.http import http_candidate
from shadoweval.adapters.openfeature import OpenFeatureFlags
from shadoweval.errors import ExperimentError, SettingsError, ShadowEvalError
from shadoweval.protocols import FlagProvider, Metric, Transport
from shadoweval.records import Annotation, Hit, Labels, ToolCall
from shadoweval.scoring import PairScorer, answer_quality, latency, overlap, ragas_metric, recall, tool_success
from shadoweval.settings import read_settings
from shadoweval.testing import NOON, MemoryTransport
from shadoweval.traffic.ladder import RUNGS, Rung, checked


def make(**changes):
    return Experiment(**{"name": "docs", "candidates": {"new": "app.rag:answer"}, **changes})


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - the mistake


def answer(question):
    """What somebody passes where a name is meant."""
    return question


async def async_answer(question):
    """What can't be awaited where a plain function is meant."""
    return question


class AsyncCallable:
    """An object that is called like `async_answer`."""

    async def __call__(self, question):
        """The question."""
        return question


class OneMethod:
    """A flag provider that was not derived from `FlagProvider`."""

    def mirrored(self, experiment, unit, attributes):
        """Yes."""
        return True


class AsyncFlags(FlagProvider):
    """A provider that has to be awaited, which the request path does not."""

    async def mirrored(self, experiment, unit, attributes):
        """No, but who does not wait takes the coroutine for yes."""
        return False


class Versionless:
    """A scorer that says no version."""

    metrics = (Metric(name="m"),)

    def score(self, pair):
        """Nothing."""


class Named(Versionless):
    """A scorer whose metrics are names."""

    metrics, version = ("m",), "1"


def mounted(**options):
    return ShadowASGI(answer, make().mirror(), **options)


def mirror(**options):
    return make().mirror(**options)


NAME = __name__
# What is written, and what the error must say: what is wrong, and how to mend it.
MISTAKES = {
    "a rule misspelt": (
        lambda: make(rule="kayentaa"),
        "rule must be one of 'paired', 'kayenta'.*Did you mean 'kayenta'",
    ),
    "an argument misspelt": (lambda: make(scorer=[]), "no argument 'scorer'.*Did you mean 'scorers'"),
    "an argument that moved": (
        lambda: make(limits=Limits()),
        r"no argument 'limits'.*sandbox=Sandbox\(limits=\.\.\.\)",
    ),
    "a layer of the guard misspelt": (
        lambda: Sandbox(layers=["seccom"]),
        "one of 'descriptors'.*Did you mean 'seccomp'",
    ),
    "a writable place that is no list": (lambda: Sandbox(writable="/cache"), r"Sandbox.writable.*Write \['/cache'\]"),
    "a sandbox's option misspelt": (lambda: Sandbox(alow=[]), "no argument 'alow'.*Did you mean 'allow'"),
    "a sandbox where limits are meant": (lambda: make(sandbox=Limits()), r"sandbox must be a Sandbox.*Write Sandbox\("),
    "limits where a sandbox is meant": (
        lambda: Sandbox(limits=Sandbox()),
        r"Sandbox.limits must be a Limits.*Write Limits\(",
    ),
    "a text where a list is meant: allow": (
        lambda: Sandbox(allow="localhost:8000"),
        r"list of texts.*\['localhost:8000'\]",
    ),
    "an address with a scheme": (lambda: Sandbox(allow=["http://localhost:8000"]), "'host:port'.*without scheme"),
    "an address without a port": (lambda: Sandbox(allow=["localhost"]), "'host:port'.*api.openai.com:443"),
    "guard as a text": (lambda: Sandbox(guard="off"), "Sandbox.guard must be True or False"),
    "a function for warm": (lambda: Sandbox(warm=answer), f"Sandbox.warm is a function.*'{NAME}:answer'"),
    "a module for warm": (lambda: Sandbox(warm="app.warm"), "Sandbox.warm is not written as 'module:attribute'"),
    "a function as candidate": (
        lambda: make(candidates={"c": answer}),
        f"candidate 'c' is a function.*'{NAME}:answer'",
    ),
    "a lambda as candidate": (lambda: make(candidates={"c": lambda q: q}), "give it a name in a module"),
    "a list of candidates": (lambda: make(candidates=["app:new"]), r"candidates must be a Mapping.*\{'name'"),
    "a function as incumbent": (lambda: make(incumbent=answer), f"incumbent is a function.*write '{NAME}:answer'"),
    "a scorer not called": (lambda: make(scorers=[recall]), r"not called. Call it: recall\(k=5\)"),
    "one scorer, no list": (lambda: make(scorers=recall()), r"scorers must be a list.*scorers=\[\.\.\.\]"),
    "a gate among the scorers": (lambda: make(scorers=[better("m", by=1)]), "list of scorers.*protocols.Scorer"),
    "a metric's name as gate": (lambda: make(gates=["recall@5"]), r"list of gates.*better\('recall@5', by="),
    "a gate's metric misspelt": (
        lambda: make(scorers=[recall()], gates=[better("recal@5", by=0.1)]),
        "gate over 'recal@5'.*Did you mean 'recall@5'",
    ),
    "labels that are not there": (lambda: make(labels="nofile.jsonl"), "labels must be a file.*no '/.*/nofile.jsonl'"),
    "outcome that is no function": (lambda: make(outcome="answer"), "outcome must be a function.*the function itself"),
    "redact that is no function": (lambda: make(redact=True), "redact must be a function"),
    "a name that is a number": (lambda: make(name=3), "name of an experiment must be a str"),
    "settings that are none": (lambda: make(settings="shadoweval.toml"), "settings must be a Settings"),
    "rules as a mapping": (lambda: make(rules={"alpha": 0.1}), r"rules must be a Rules.*Write Rules\("),
    "rerun that is no number": (lambda: make(rerun=math.nan), "rerun must be a number from 0 to 1"),
    "one gate, no list": (lambda: make(gates=better("m", by=1)), r"gates must be a list.*gates=\[\.\.\.\]"),
    "a gate not called": (lambda: make(gates=[better]), r"gates must be a list of gates.*better\('recall@5'"),
    "scorers by name": (lambda: make(scorers={"recall": recall()}), "scorers must be a list"),
    "a scorer's class": (lambda: make(scorers=[PairScorer]), r"not called. Call it: PairScorer\(\.\.\.\)"),
    "a scorer without a version": (lambda: make(scorers=[Versionless()]), "it has no version; see protocols.Scorer"),
    "a scorer whose metrics are names": (lambda: make(scorers=[Named()]), r"each of Named.metrics must be a Metric"),
    "an empty mapping as sandbox": (lambda: make(sandbox={}), r"sandbox must be a Sandbox.*Write Sandbox\("),
    "no rules by False": (lambda: make(rules=False), "rules must be a Rules"),
    "a target with two dots": (lambda: make(candidates={"c": "app..rag:answer"}), "not written as 'module:attribute'"),
    "a target without an attribute": (lambda: make(candidates={"c": "app.rag:"}), "not written as 'module:attribute'"),
    "an outcome that is async": (lambda: make(outcome=async_answer), "a function that is not async.*with 'def'"),
    "candidates as a text": (lambda: make(candidates="app:new"), r"candidates must be a Mapping.*\{'name'"),
    # traffic
    "a budget misspelt": (lambda: Traffic(budget={"usdd": 20}), "no 'usdd'.*calls, tokens, usd.*Did you mean 'usd'"),
    "a budget as a text": (
        lambda: Traffic(budget={"usd": "20"}),
        "number from 0 up, got '20'. Write 20, without quotes",
    ),
    "a negative budget": (lambda: Traffic(budget={"usd": -1}), r"budget\['usd'\] must be a number from 0 up"),
    "a budget that is a number": (lambda: Traffic(budget=20), "budget must be a Mapping"),
    "a file for flags": (lambda: Traffic(flags="flags.toml"), r"must be a FlagProvider.*StaticFlags\('flags.toml'\)"),
    "limits for a breaker": (lambda: Traffic(breaker=BreakerLimits()), r"must be a Breaker.*Breaker\(BreakerLimits"),
    "a folder for a transport": (lambda: Traffic(transport="spool"), "Traffic.transport must be a Transport.*Derive"),
    "a traffic option misspelt": (lambda: Traffic(flag=None), "no argument 'flag'.*Did you mean 'flags'"),
    "a breaker's limit misspelt": (lambda: BreakerLimits(slow=2), "no argument 'slow'.*Did you mean 'slow"),
    "a breaker that is never closed": (
        lambda: BreakerLimits(slower=0),
        "BreakerLimits.slower must be a number above 0",
    ),
    "a breaker's share as percentage": (lambda: BreakerLimits(quantiles=[95]), "number from 0 to 1.*not a percentage"),
    "a number for a breaker's limits": (lambda: Breaker(2.0), r"Breaker\(limits\) must be a BreakerLimits"),
    "a function for a gauge": (lambda: Breaker(gauges=[answer]), "must be a Gauge"),
    "a gauge that can't be read": (lambda: Gauge(name="m", read=3.0, limit=1), "Gauge.read must be a function"),
    "flags of a wrong type": (lambda: StaticFlags({"docs": True}), r"StaticFlags\(file\) must be a str or Path"),
    "a stage that is none": (
        lambda: Rung(stage="canry", share=0.1),
        "Rung.stage must be one of.*Did you mean 'canary'",
    ),
    "a rung's percentage": (lambda: Rung(stage="canary", share=10), "Rung.share must be a number from 0 to 1"),
    # mirror
    "a sample misspelt": (lambda: mirror(sampel=0.1), "no argument 'sampel'.*Did you mean 'sample'"),
    "a sample as a text": (lambda: mirror(sample="0.1"), "sample must be a number from 0 to 1.*got '0.1'. Write 0.1"),
    "a sample that is no number": (lambda: mirror(sample=math.nan), "sample must be a number"),
    "a percentage": (lambda: mirror(sample=10), "not a percentage"),
    "an attribute's name for attributes": (
        lambda: mirror(attributes="plan"),
        "must be a function.*the function itself",
    ),
    "a unit's name": (lambda: mirror(unit="user"), r"mirror\(unit\) must be a function"),
    "a text's name": (lambda: mirror(text="question"), r"mirror\(text\) must be a function"),
    "a function as entry": (lambda: mirror(entry=answer), f"entry is a function.*'{NAME}:answer'"),
    "a size that is none": (lambda: mirror(max_bytes="1 MB"), r"mirror\(max_bytes\) must be a whole number from 1 up"),
    "a mirror without parentheses": (lambda: make().mirror(answer), r"Write @experiment.mirror\(sample=0.1\)"),
    "versions as a text": (lambda: mirror(versions="7"), r"mirror\(versions\) must be a Mapping"),
    "a salt that is a number": (lambda: mirror(salt=7), r"mirror\(salt\) must be a str"),
    "a clock that is a time": (lambda: mirror(clock=7), r"mirror\(clock\) must be a function"),
    "attributes as a name": (lambda: mirror(attributes="plan"), r"mirror\(attributes\) must be a function"),
    "attributes that are async": (lambda: mirror(attributes=async_answer), r"mirror\(attributes\).*not async"),
    "a unit from an async object": (lambda: mirror(unit=AsyncCallable()), r"mirror\(unit\).*not async"),
    "a version that is a number": (lambda: mirror(versions={"prompt": 7}), r"versions\)\['prompt'\] must be a str"),
    "a kill's reason misspelt": (lambda: make().kill(reson="x"), "no argument 'reson'.*Did you mean 'reason'"),
    "flags' class": (lambda: Traffic(flags=StaticFlags), r"a class. Call it: StaticFlags\(\.\.\.\)"),
    "flags that are async": (lambda: Traffic(flags=AsyncFlags()), r"Traffic.flags.mirrored.*not async"),
    "a clock without its zone": (lambda: mirror(clock=lambda: NAIVE), r"mirror\(clock\).*time zone"),
    "flags of one method": (lambda: Traffic(flags=OneMethod()), "must be a FlagProvider.*derive yours from it"),
    "a gauge's name": (lambda: Gauge(name=3, read=answer, limit=1), "Gauge.name must be a str"),
    "one gauge, no list": (
        lambda: Breaker(gauges=Gauge(name="g", read=float, limit=1)),
        r"Breaker\(gauges\) must be a list",
    ),
    "limits by False": (lambda: Breaker(False), r"Breaker\(limits\) must be a BreakerLimits"),
    "a rung for less than no time": (
        lambda: Rung(stage="dark", share=0, stay=timedelta(-1)),
        "Rung.stay must be a span from 0 up",
    ),
    "a ladder that begins high": (lambda: checked(RUNGS[1:]), "begins with off and dark"),
    "a ladder that goes down": (
        lambda: checked((*RUNGS[:2], RUNGS[4], RUNGS[3], RUNGS[5])),
        "a ladder that goes up.*Order them",
    ),
    # HTTP
    "a route's methods": (lambda: Route(methods="GET", path="/ask"), "no argument 'methods'.*write method='POST'"),
    "a list of methods": (lambda: Route(method=["GET"], path="/ask"), r"Route\(method\) must be a str"),
    "a path without its slash": (lambda: Route(path="ask"), "must be a path.*Write '/ask'"),
    "a path for a route": (lambda: mounted(routes=["/ask"]), r"each of ShadowASGI\(routes\).*Route\(path='/ask'\)"),
    "one route, no list": (lambda: mounted(routes=Route(path="/ask")), r"ShadowASGI\(routes\) must be a list"),
    "an app's option misspelt": (lambda: mounted(routs=[]), "no argument 'routs'.*Did you mean 'routes'"),
    "a candidate's URL without a scheme": (lambda: http_candidate("next:8000"), "no base URL.*http://"),
    "a name for what is mirrored": (lambda: mirror()("answer"), "what is mirrored must be a function"),
    "an app's name": (
        lambda: ShadowASGI("app", mirror(), routes=[]),
        r"ShadowASGI\(app\) must be a function",
    ),
    "a mounting's option misspelt": (lambda: mirror().asgi(answer, route=[]), "no argument 'route'.*'routes'"),
    "a header that is a number": (lambda: http_candidate("http://next", headers={"x": 3}), "'x'. must be a str"),
    "a flag that is a number": (lambda: OpenFeatureFlags(3), r"OpenFeatureFlags\(flag\) must be a str"),
    "a kill flag by True": (lambda: OpenFeatureFlags(kill=True), r"OpenFeatureFlags\(kill\) must be a str"),
    "a client's name": (lambda: OpenFeatureFlags(client="x"), "an OpenFeature client"),
    "a flag file's option misspelt": (lambda: StaticFlags("x", intervl=1), "Did you mean 'interval'"),
    "a longest pause below the pause": (lambda: BreakerLimits(longest=1), "longest must be at least pause, 30"),
    # limits
    "a negative deadline": (lambda: Limits(seconds=-1), "Limits.seconds must be a number above 0, got -1"),
    "a deadline as a text": (lambda: Limits(seconds="20"), "above 0, got '20'. Write 20, without quotes"),
    "a deadline that is no number": (lambda: Limits(seconds=math.nan), "Limits.seconds must be a number above 0"),
    "nothing at a time": (lambda: Limits(concurrency=0), "Limits.concurrency must be a whole number from 1 up"),
    "half a run at a time": (lambda: Limits(concurrency=1.5), "whole number"),
    "no memory": (lambda: Limits(memory_bytes=0), "Limits.memory_bytes must be a whole number from 1 up"),
    "a limit misspelt": (lambda: Limits(second=20), "no argument 'second'.*Did you mean 'seconds'"),
    "a price that is one number": (lambda: Limits(prices={"m": 2.0}), r"two numbers.*Write \(0.25, 2.0\)"),
    # stubs and worlds
    "an effect misspelt": (lambda: Stubs(effects={"pay": "wriet"}), "one of 'read', 'write'.*Did you mean 'write'"),
    "a text where a list is meant: live": (lambda: Stubs(live="search"), r"Stubs.live must be a list.*\['search'\]"),
    "a result for a stand-in": (lambda: Stubs({"pay": "paid"}), r"Stubs.tools\['pay'\] must be a function or a policy"),
    "a world, no list": (lambda: Stubs(worlds=EntityWorld({})), r"Stubs.worlds must be a list.*worlds=\[\.\.\.\]"),
    "no world": (lambda: Stubs(worlds=["shop.sqlite"]), "each of Stubs.worlds must be a World.*InstanceWorld"),
    "a function for its name": (lambda: Stubs(functions={"pay": answer}), f"is a function.*'{NAME}:answer'"),
    "a schema that is none": (lambda: Stubs(schemas={"pay": "object"}), r"Stubs.schemas\['pay'\] must be a Mapping"),
    "simulate as a text": (lambda: Stubs(simulate="no"), "Stubs.simulate must be True or False"),
    "a stub option misspelt": (lambda: Stubs(effect={}), "no argument 'effect'.*Did you mean 'effects'"),
    "a policy's tools as a text": (lambda: Live("search"), r"Live must be a list of texts.*\['search'\]"),
    "a policy's effect misspelt": (lambda: Simulate(effects=("wriet",)), "Did you mean 'write'"),
    "one policy, no list": (lambda: Stubs(default=Replay()), r"Stubs.default must be a list.*default=\[\.\.\.\]"),
    "a policy that is none": (
        lambda: Stubs(default=["replay"]),
        r"each of Stubs.default must be a function or a policy",
    ),
    "a policy's tools by place": (lambda: Replay("search"), "Replay must be True or False"),
    "a policy not called": (lambda: Stubs(default=[Replay]), r"each of Stubs.default.*Replay\(\)"),
    "a tool's policy not called": (lambda: Stubs({"pay": Refuse}), r"Stubs.tools\['pay'\].*Refuse\(\)"),
    "a world's class": (lambda: Stubs(worlds=[EntityWorld]), r"a class. Call it: EntityWorld\("),
    "live tools by mapping": (lambda: Stubs(live={"search": False}), "Stubs.live must be a list of texts"),
    "a world's tools as a text": (lambda: SqliteWorld(env="DB", tools="pay"), r"SqliteWorld.tools.*\['pay'\]"),
    "a world without a place": (lambda: SqliteWorld(tools=["pay"]), "needs env or engine"),
    "a world's engine": (lambda: SqliteWorld(tools=["pay"], engine="shop"), "SqliteWorld.engine is not written as"),
    "rewind that is no function": (lambda: SqliteWorld(env="DB", tools=["pay"], rewind=1), "rewind must be a function"),
    "a list of modelled tools": (lambda: EntityWorld(["pay"]), r"EntityWorld.tools must be a Mapping.*\{'name'"),
    "a tool that is no function": (
        lambda: EntityWorld({"pay": "paid"}),
        r"EntityWorld.tools\['pay'\] must be a function",
    ),
    # recording
    "a tool's effect misspelt": (lambda: tool(effect="reed"), r"tool\(effect\) must be one of.*Did you mean 'read'"),
    "a tool's effect by place": (lambda: tool("read"), r"Write @tool\(effect='read'\)"),
    "a tool's option misspelt": (lambda: tool(efect="read"), "no argument 'efect'.*Did you mean 'effect'"),
    "a step without parentheses": (lambda: step(answer), r"step\(\) must be a kind.*@step\(\)"),
    "a step's kind misspelt": (lambda: step("modle"), "one of 'model', 'other'.*Did you mean 'model'"),
    "a tool's name as a number": (lambda: tool(name=3), r"tool\(name\) must be a str"),
    "a retriever's field": (lambda: retriever(hit_id="."), r"retriever\(hit_id\) must be a path.*'metadata.doc_id'"),
    "a retriever's field by its old name": (lambda: retriever(doc_id=str), "no argument 'doc_id'.*It is called hit_id"),
    "a retriever's option misspelt": (lambda: retriever(hitid=None), "no argument 'hitid'.*Did you mean 'hit_id'"),
    "a retriever's name as a number": (lambda: retriever(name=3), r"retriever\(name\) must be a str"),
    "a step's name as a number": (lambda: step(name=3), r"step\(name\) must be a str"),
    "an async hit_id": (lambda: retriever(hit_id=async_answer), r"retriever\(hit_id\).*not async"),
    # scorers and gates
    "whole ranks as a float": (lambda: recall(k=5.0), r"a whole number from 1 up, got 5.0. Write 5\."),
    "a scorer's version as a number": (
        lambda: PairScorer(metrics=(Metric(name="m"),), version=1, score_one=answer),
        "PairScorer.version must be a str",
    ),
    "a gate over nothing": (lambda: better("", by=1), "needs the name of a metric"),
    "a group that is a number": (lambda: better("m", by=1, group=3), r"group\) must be a str"),
    "no ranks": (lambda: recall(k=0), r"recall\(k\) must be a whole number from 1 up, got 0"),
    "ranks as a text": (lambda: recall("5"), "got '5'. Write 5, without quotes"),
    "a scorer's option misspelt": (lambda: recall(K=5), "no argument 'K'.*It has: k"),
    "an overlap of nothing": (lambda: overlap(-1), r"overlap\(k\) must be a whole number"),
    "a cap of nothing": (lambda: latency(cap=0), r"latency\(cap\) must be a number above 0"),
    "a similarity's name": (lambda: answer_quality("cosine"), r"answer_quality\(similarity\) must be a function"),
    "a metric without a name": (lambda: Metric(name=""), "Metric.name must be a name.*recall@5"),
    "a metric's range": (lambda: Metric(name="m", low=1.0, high=0.0), "Metric.low must be below Metric.high"),
    "a scorer of no function": (
        lambda: PairScorer(metrics=(Metric(name="m"),), version="1", score_one=0.5),
        "PairScorer.score_one must be a function",
    ),
    "a ragas metric's name": (lambda: ragas_metric("faithfulness", version="1"), "must be a ragas metric.*an instance"),
    "a margin misspelt": (lambda: better("m", bye=1), "no argument 'bye'.*Did you mean 'by'"),
    "a margin as a text": (lambda: better("m", by="0.02"), "finite number as its margin, got '0.02'"),
    "a negative margin": (lambda: better("m", by=-1), "a margin is a size, so it can't be negative"),
    "no margin": (lambda: no_worse("m"), r"Write no_worse\('m', by="),
    "a margin of nothing": (lambda: no_worse("m", by=0), r"or better\('m', by=0\)"),
    "a ratio of nothing": (lambda: at_most("latency.p95", ratio=0), "a ratio is above 0; 1.10 allows 10 %"),
    "two limits": (lambda: at_most("cost", 1.0, ratio=1.1), "not both: write two gates"),
    "a level that is none": (lambda: at_least("m", math.nan), "finite number"),
    "a quantile that is none": (lambda: at_most("latency.p0", 1.0), "Write '.p50' up to '.p99.9'"),
    "a gate's option misspelt": (lambda: better("m", by=1, critcal=True), "no argument 'critcal'.*'critical'"),
    "critical as a text": (lambda: better("m", by=1, critical="yes"), r"better\(critical\) must be True or False"),
    "a cap as a text": (lambda: better("m", by=1, cap="30"), "above 0, got '30'. Write 30, without quotes"),
    "a scorer for a metric": (lambda: better(recall(), by=1), r"metric of better\(\) must be a str"),
    "an option of a scorer that has none": (lambda: tool_success(k=3), "no argument 'k'"),
    "a metric's field misspelt": (lambda: Metric(nam="m"), "no argument 'nam'.*Did you mean 'name'"),
    "a scorer's field misspelt": (lambda: PairScorer(metric=()), "no argument 'metric'.*Did you mean 'metrics'"),
    "a policy's field misspelt": (lambda: Live(tool=["a"]), "no argument 'tool'.*Did you mean 'tools'"),
    "a world's path as a number": (lambda: SqliteWorld(env="DB", tools=["pay"], path=3), "SqliteWorld.path must be"),
    # rules and doors
    "a store's name": (lambda: evaluate(make(), store="sqlite:///x"), r"evaluate\(store\) must be a Store.*open_store"),
    "a window that lies ahead": (
        lambda: evaluate(make(), since=timedelta(hours=-1)),
        r"evaluate\(since\) must be how long ago",
    ),
    "a window that ends before it begins": (
        lambda: evaluate(make(), since=NOON, until=NOON),
        r"evaluate\(since\) must be before until",
    ),
    "an experiment for its name": (lambda: load_experiment(make()), "it is no name.*evals.support:support"),
    "a name for what is opened": (lambda: open_store("docs"), r"must be an Experiment.*Pass the object"),
    "a name for what is received": (lambda: open_receiver("docs"), r"must be an Experiment.*Pass the object"),
    "a report's option misspelt": (lambda: report(None, "x", comand="x"), "Did you mean 'command'"),
    "a store that is a path": (lambda: Settings(store="shadow.db"), "no URL.*'sqlite:///shadow.db'"),
    "labels that are a folder": (lambda: make(labels="."), "is a folder"),
    "a partial as candidate": (
        lambda: make(candidates={"c": functools.partial(answer)}),
        "give it a name in a module",
    ),
    "a rule that is a percentage": (lambda: Rules(min_coverage=95), "Rules.min_coverage.*not a percentage"),
    "a level of 1": (lambda: Rules(alpha=1), "Rules.alpha must be a number between 0 and 1"),
    "units as a text": (lambda: Rules(min_units="200"), "got '200'. Write 200, without quotes"),
    "half a candidate": (lambda: Rules(candidates=0.5), "Rules.candidates must be a whole number from 1 up"),
    "a rule's name misspelt": (lambda: Rules(min_unit=200), "no argument 'min_unit'.*Did you mean 'min_units'"),
    "once as a number": (lambda: Rules(once=1), "Rules.once must be True or False"),
    "one candidate, no list": (lambda: evaluate(make(), candidates="new"), r"evaluate\(candidates\).*\['new'\]"),
    "a window misspelt": (lambda: evaluate(make(), sinse=None), "no argument 'sinse'.*Did you mean 'since'"),
    "a name for an experiment": (lambda: evaluate("docs"), r"must be an Experiment.*Pass the object"),
    "a window as a text": (
        lambda: evaluate(make(), since="24h"),
        r"a datetime with a time zone.*timedelta\(hours=24\)",
    ),
    "a time without its zone": (lambda: evaluate(make(), until=NAIVE), "a datetime with a time zone"),
    "an experiment misspelt": (
        lambda: load_experiment("evals.documentation:documentaton"),
        "has no 'documentaton'.*Did you mean 'documentation'",
    ),
    "a verdict for an evaluation": (lambda: report("docs", "x.html"), "must be an Evaluation.*Pass what evaluate"),
    "a span that is none": (lambda: Settings(retention="a month"), "'retention' = 'a month'.*30m or 24h"),
    "a setting misspelt": (lambda: Settings(hom="x"), "no argument 'hom'.*Did you mean 'home'"),
    "a setting that is no text": (lambda: Settings(home=3), "Setting 'home'.*it is no text"),
}


@pytest.mark.parametrize(("write", "complaint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_an_error_where_it_is_written(write, complaint):
    """The error is one of ours, says what is wrong and how to mend it."""
    with pytest.raises(ShadowEvalError, match=f"(?s){complaint}") as caught:
        write()

    assert isinstance(caught.value, ExperimentError | SettingsError)


def test_a_file_of_settings_is_checked_too(tmp_path):
    """An unknown key of `shadoweval.toml` is named, with the one that was meant."""
    file = tmp_path / "shadoweval.toml"
    file.write_text('retentoin = "30d"', encoding="utf-8")

    with pytest.raises(SettingsError, match=r"'retentoin'.*Did you mean 'retention'"):
        read_settings(file, environ={})


def test_what_is_right_passes():
    """The same arguments as they are meant."""
    experiment = make(
        scorers=[recall(k=5), latency(cap=2)],
        gates=[better("recall@5", by=0.02, critical=True), at_most("latency.p95", ratio=1.1, cap=30)],
        labels=__file__,
        rule="kayenta",
        rules=Rules(alpha=0.1, min_hours=0),
        sandbox=Sandbox(
            stubs=Stubs(
                {"pay": answer}, effects={"pay": "write"}, live=["search"], worlds=[EntityWorld({"a": answer})]
            ),
            limits=Limits(seconds=20, concurrency=4, tokens=1000, usd=0.5, prices={"m": (0.25, 2)}),
            allow=["localhost:8000", "[::1]:443"],
            warm="app.warm:load",
        ),
        traffic=Traffic(budget={"usd": 20, "tokens": 1e6}, breaker=Breaker(BreakerLimits(latency=2.0))),
    )

    experiment.mirror(0.1, attributes=answer, unit=answer, control=0, entry="app.rag:old")
    assert experiment.sandbox.allow == ("localhost:8000", "[::1]:443")


class Word(enum.StrEnum):
    """Names that somebody keeps in an enum."""

    TARGET = "app.rag:answer"
    RULE = "kayenta"
    EFFECT = "read"
    METRIC = "recall@5"
    NAME = "docs"


class Sub(str):
    """A text of a type of its own."""

    __slots__ = ()


class Flags(FlagProvider):
    """The one method that has no default."""

    def mirrored(self, experiment, unit, attributes):
        """Yes."""
        return True


class Pipe(Transport):
    """The two methods that have no default."""

    def offer(self, frame):
        """Taken."""

    def close(self):
        """Nothing to let go."""


class MyScorer:
    """A scorer that was not derived from anything."""

    metrics, version = [Metric(name="m")], "1"

    def score(self, pair):
        """Nothing."""
        return ()


METHOD = SimpleNamespace(call=functools.partial(answer), bound=AsyncCallable().__init__)
# What is right, though it is written in another type than the usual one.
RIGHT = {
    "numbers of NumPy": lambda: (
        recall(k=np.int64(5)),
        latency(cap=np.float32(2)),
        Limits(seconds=np.float32(2), concurrency=np.int32(4), usd=np.float64(0.5), prices={"m": [np.float64(1), 2]}),
        Rules(alpha=np.float32(0.1), min_units=np.uint8(30), share=np.float64(0.5)),
        better("m", by=np.float32(0.02), cap=np.float64(3)),
        mirror(sample=np.float64(0.1), control=np.float32(0), max_bytes=np.int64(1000)),
        Metric(name="m", low=np.float64(0), high=np.int64(1)),
        Traffic(budget={"usd": np.float64(3), "calls": np.int64(3)}),
    ),
    "whole numbers for numbers": lambda: (
        Limits(seconds=1, grace=0),
        Rules(min_hours=1, min_coverage=1),
        mirror(sample=1),
    ),
    "a generator": lambda: make(
        scorers=(recall(k=k) for k in (1, 5)), gates=(better(f"recall@{k}", by=0.1) for k in (1, 5))
    ),
    "tuples and sets": lambda: (
        make(scorers={recall()}, gates=(better("recall@5", by=0.1),)),
        Sandbox(allow={"localhost:1"}),
        Stubs(live={"search"}, worlds=(EntityWorld({"a": answer}),), default=(Replay(),)),
    ),
    "views of mappings": lambda: (
        make(scorers={"a": recall()}.values()),
        Stubs(live={"search": answer}.keys()),
        Sandbox(allow={"localhost:1": 1}.keys()),
        Live({"search": answer}.keys()),
    ),
    "mappings of another type": lambda: (
        make(candidates=MappingProxyType({"new": "app.rag:answer"})),
        Stubs(effects=MappingProxyType({"pay": "write"})),
        mirror(versions=MappingProxyType({"prompt": "7"})),
    ),
    "members of an enum": lambda: (
        make(name=Word.NAME, candidates={Word.NAME: Word.TARGET}, rule=Word.RULE),
        tool(effect=Word.EFFECT),
        Stubs(effects={"pay": Word.EFFECT}),
        make(scorers=[recall()], gates=[better(Word.METRIC, by=0.1)]),
    ),
    "a text's own type": lambda: make(name=Sub("docs"), candidates={Sub("new"): Sub("app:new")}, incumbent=Sub("a:b")),
    "a salt's and a version's own type": lambda: mirror(salt=Sub("x"), versions={Sub("a"): Sub("b")})(answer),
    "a class's method by name": lambda: make(candidates={"new": "a.b:C.method"}),
    "names in other letters": lambda: make(candidates={"new": "dépôt.größe:réponse"}, incumbent="пакет:ответ"),
    "a path, or its text": lambda: (
        make(labels=Path(__file__)),
        make(labels=__file__),
        StaticFlags(Path("none")),
        StaticFlags("none"),
        Settings(home=Path("here"), flags=Path("flags.toml")),
    ),
    "callables": lambda: (
        mirror(attributes=functools.partial(answer), unit=METHOD.call, text=str.strip, inputs=MyScorer().score),
        make(outcome=functools.partial(answer), redact=lambda text, key: text),
        retriever(hit_id=str),
        retriever(async_answer),
        tool(async_answer),
        Stubs({"pay": async_answer, "ask": [functools.partial(answer), Refuse()]}),
        Gauge(name="g", read=functools.partial(float, 1), limit=1),
    ),
    "what a protocol's defaults complete": lambda: Traffic(flags=Flags(), transport=Pipe()),
    "a scorer derived from nothing": lambda: make(scorers=[MyScorer()], gates=[better("m", by=0.1)]),
    "metrics in a list": lambda: PairScorer(metrics=[Metric(name="m")], version="1", score_one=answer),
    "nothing where nothing is allowed": lambda: (
        make(incumbent=None, labels=None, sandbox=None, traffic=None, rules=None, outcome=None, redact=None),
        mirror(attributes=None, unit=None, text=None, inputs=None, versions=None, salt=None, entry=None, redact=None),
        Limits(tokens=None, usd=None),
        Stubs(None, default=None, effects=None, schemas=None, functions=None),
        Traffic(flags=None, breaker=None, transport=None),
        better("m", by=0, cap=None, group=None),
    ),
    "routes in a generator": lambda: mounted(routes=(Route(path=path) for path in ("/ask", "/é")), headers={"accept"}),
}


@pytest.mark.parametrize("write", RIGHT.values(), ids=RIGHT)
def test_what_is_right_in_another_type_is_taken(write):
    """Whoever checks refuses mistakes alone."""
    write()


def test_what_is_kept_can_be_sent():
    """Numbers of NumPy and texts of other types are kept as plain ones: the wire format knows no others."""
    gate = better(Sub("m"), by=np.float64(0.1), cap=np.float32(2))
    limits = Limits(seconds=np.float64(2), concurrency=np.int64(3), prices={"m": (np.float64(1), 2)})
    metric = Metric(name="m", failure_scores=np.float64(0))
    live = Live(name for name in ("search",))
    experiment = make(name=Sub("docs"), candidates={Word.NAME: Word.TARGET})

    msgspec.msgpack.encode([gate, limits, metric, live, experiment.name, experiment.candidates])

    assert live.tools == ("search",)


def test_an_unusual_reason_kills_all_the_same(tmp_path):
    """An exception as reason is written down as its text."""
    experiment = make(settings=Settings(home=tmp_path / "home"))

    experiment.kill(reason=ValueError("it burns"))

    assert "it burns" in (tmp_path / "home" / "kill" / "docs").read_text(encoding="utf-8")


def test_a_decimal_is_no_number():
    """It does not mix with floats, so it is refused where it is written."""
    with pytest.raises(ExperimentError, match="must be a number above 0"):
        Limits(seconds=Decimal(2))


@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        (lambda: Hit(id="a", rank=0), r"from 1 up, got 0. Write enumerate\(documents, start=1\)"),
        (lambda: ToolCall(name="pay", effect="reed"), "ToolCall.effect is one of .*'read'.*got 'reed'"),
        (lambda: ToolCall(name="pay", answered="cached"), "got 'cached'"),
        (lambda: Annotation(arm="new", mark="tie", annotator="ann"), r"'tie' of 'new' needs over=, the other arm"),
        (lambda: Annotation(arm="new", mark="correct", annotator="ann", over="old"), r"one answer alone.*over='old'"),
        (lambda: Annotation(arm="new", mark="tie", annotator="ann", over="new"), r"needs over=, the other arm"),
        (lambda: Annotation(arm="new", mark="correct", annotator=" "), r"annotator is empty. Name who said it"),
        (lambda: Annotation(arm="a", mark="tie", annotator="b", at=NAIVE), r"at must have a time zone"),
        (lambda: Labels(references="doc-7"), r"several texts.*Write reference="),
        (lambda: Labels(relevant=["doc-7"]), r"a dict of grades.*\{'doc-7': 1\}"),
    ],
)
def test_a_record_that_could_not_be_read_again_is_not_made(write, complaint):
    """What pipelines and labels hand over is checked when it is made, as it is when it is decoded."""
    with pytest.raises(ValueError, match=complaint):
        write()


def test_attributes_with_numbers_as_names_are_mirrored_under_their_text(tmp_path):
    """A worker reads texts only."""
    pipe = MemoryTransport()
    experiment = make(traffic=Traffic(transport=pipe), settings=Settings(home=tmp_path))

    experiment.mirror(control=0, attributes=lambda question: {1: question})(answer)("why")

    assert [envelope.query.attributes for envelope in pipe.envelopes] == [{"1": "why"}]
