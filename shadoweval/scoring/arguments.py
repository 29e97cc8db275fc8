"""Did an agent call its tools with the right arguments?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from shadoweval.capture.identity import call_key, chosen
from shadoweval.capture.misfits import misfit
from shadoweval.checks import checked_choice, checked_keywords, checked_mapping, checked_strings
from shadoweval.protocols import Metric, Scorer
from shadoweval.records import Observation, Pair, Score, Scored, ToolCall, Unscored
from shadoweval.scoring.against import NO_REFERENCE, Against, AgainstServed, agent_calls, reference_calls
from shadoweval.scoring.assignment import best_assignment
from shadoweval.scoring.formats import checked_schema, digest_of, fitting
from shadoweval.scoring.pair_scorer import PairScorer

__all__ = ["argument_validity", "arguments"]

_NO_SHARED: Final = Unscored("no tool was called that is called in what it is compared with")
_NO_CALL: Final = "no tool call was made"


@checked_keywords()
def arguments(*, against: Against = "incumbent", compare: Mapping[str, Sequence[str]] | None = None) -> Scorer:
    """`arguments`, or `reference_arguments`: share of the arguments that are right, over calls of the same tools.

    Each tool's calls are assigned to the expected ones so that most arguments agree; an argument is right where both
    have it with equal values, and counts once where only one of them has it. Calls without a counterpart are no matter
    of arguments (`trajectory` sees them). A run that shares no tool with what it is compared with is unscored.

    Args:
        against: `incumbent`, what was served; `reference`, the case file's `expected_calls`.
        compare: Tool -> names of the arguments that count; of other tools all count.
    """
    checked_choice("arguments(against)", against, Against)
    counting = {
        tool: checked_strings(f"arguments(compare)[{tool!r}]", names)
        for tool, names in checked_mapping("arguments(compare)", compare or {}).items()
    }
    name = "arguments" if against == "incumbent" else "reference_arguments"

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        expected = reference_calls(pair, against)
        if expected is None:
            return {name: NO_REFERENCE}
        right, compared = _agreement(expected, agent_calls(observation.tool_calls), counting)
        return {name: Scored(right / compared) if compared else _NO_SHARED}

    metric = Metric(name=name, descriptive=against == "incumbent", of_pair=against == "incumbent")
    scorer = PairScorer(metrics=(metric,), version=f"{name}/1 {sorted(counting.items())}", score_one=score_one)
    return AgainstServed(scorer) if against == "incumbent" else scorer


@checked_keywords()
def argument_validity(*, schemas: Mapping[str, Mapping[str, Any]] | None = None) -> Scorer:
    """`argument_validity`: share of the tool calls whose arguments could be read and fit their tool.

    By the record: a call of a tool that is not there, with arguments that are no JSON, that the tool's signature, its
    LangChain schema or its MCP server refused, does not fit.

    Args:
        schemas: Tool -> JSON schema of its arguments, for tools that refuse nothing.
    """
    known = checked_mapping("argument_validity(schemas)", schemas or {})
    for tool, schema in known.items():
        checked_schema(f"argument_validity(schemas)[{tool!r}]", schema)
    fitting_of = {tool: fitting("argument_validity(schemas)", schema) for tool, schema in known.items()}

    def fits(call: ToolCall) -> bool:
        if misfit(call):
            return False
        return call.name not in fitting_of or fitting_of[call.name](call.arguments)

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        calls = agent_calls(observation.tool_calls)
        if not calls:
            runs = (pair.served, pair.candidate, pair.rerun)
            made = any(run.tool_calls for run in runs if run is not None)
            return {"argument_validity": Unscored(_NO_CALL, informative=made)}
        return {"argument_validity": Scored(sum(map(fits, calls)) / len(calls))}

    metric = Metric(name="argument_validity", fact_of_run=True)
    version = f"argument_validity/2 {digest_of(known)}" if known else "argument_validity/1"
    return PairScorer(metrics=(metric,), version=version, score_one=score_one)


def _agreement(
    expected: Sequence[ToolCall], made: Sequence[ToolCall], counting: Mapping[str, Sequence[str]]
) -> tuple[int, int]:
    """How many arguments are right, and how many were compared; a call without any is one that is right."""
    ours, theirs = (_by_tool(calls, counting) for calls in (expected, made))
    right = compared = 0
    for tool in ours.keys() & theirs.keys():
        for wanted, got in _counterparts(ours[tool], theirs[tool]):
            right += len(wanted.items() & got.items()) if wanted or got else 1
            compared += len(wanted.keys() | got.keys()) or 1
    return right, compared


def _by_tool(calls: Sequence[ToolCall], counting: Mapping[str, Sequence[str]]) -> dict[str, list[dict[str, str]]]:
    tools: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for call in calls:
        values = chosen(call.arguments, counting.get(call.name))
        tools[call.name].append({name: call_key({name: value}) for name, value in values.items()})
    return dict(tools)


def _counterparts(
    ours: Sequence[dict[str, str]], theirs: Sequence[dict[str, str]]
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Calls that are the same go together, which is never worse, and leaves few to be assigned of many."""
    waiting: defaultdict[frozenset[tuple[str, str]], list[int]] = defaultdict(list)
    for number, call in enumerate(theirs):
        waiting[frozenset(call.items())].append(number)
    taken, left = set[int](), list[dict[str, str]]()
    for call in ours:
        same = waiting[frozenset(call.items())]
        if same:
            taken.add(same.pop())
            yield call, call
        else:
            left.append(call)
    yield from _assigned(left, [call for number, call in enumerate(theirs) if number not in taken])


def _assigned(
    ours: Sequence[dict[str, str]], theirs: Sequence[dict[str, str]]
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    # Every call has a counterpart as far as there is one; of assignments with as many right arguments that one counts
    # in which fewer stand on one side alone.
    worth = [[1 + len(a.items() & b.items()) + 0.1 / (1 + len(a.keys() ^ b.keys())) for b in theirs] for a in ours]
    for mine, other in best_assignment(worth):
        yield ours[mine], theirs[other]
