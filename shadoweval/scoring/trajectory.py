"""Did an agent take the same way? Its tool calls against those of the incumbent, or against the right ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shadoweval.checks import checked_choice, checked_keywords, checked_mapping, checked_strings, checked_truth
from shadoweval.protocols import Metric, Scorer
from shadoweval.records import Observation, Pair, Score, Scored
from shadoweval.scoring.against import NO_REFERENCE, Against, AgainstServed, agent_calls, reference_calls
from shadoweval.scoring.pair_scorer import PairScorer
from shadoweval.scoring.trajectory_match import ArgumentMode, TrajectoryMode, matches

__all__ = ["trajectory"]


@checked_keywords()
def trajectory(
    mode: TrajectoryMode = "unordered",
    *,
    against: Against = "incumbent",
    arguments: ArgumentMode = "equal",
    compare: Mapping[str, Sequence[str]] | None = None,
    like_with_like: bool = False,
) -> Scorer:
    """`trajectory@unordered`, or `reference_trajectory@unordered`: 1 where a run's tool calls match, else 0.

    Calls are the agent's own: those that a tool's code makes are part of that tool. A call of another tool, with
    another argument, and a second one are differences in every mode that looks at them; a side effect made twice is
    one in `superset` too. Calls that ran at the same time have no order, and are not the same as one after the other.

    Args:
        mode: `strict`, the same calls in the same order; `unordered`, the same calls; `subset`, no call that was not
            expected; `superset`, every call that was.
        against: `incumbent`, what was served; `reference`, the case file's `expected_calls`.
        arguments: Which arguments a call may have against those expected: `equal`; `subset`, some of them; `superset`,
            those and more; `ignored`, any. Numbers are equal by value, a text is no number.
        compare: Tool -> names of the arguments that count; of other tools all count.
        like_with_like: Compare with the incumbent's re-run (`Experiment(rerun=1.0)`), for an incumbent that does not
            always take the same way.
    """
    checked_choice("trajectory(mode)", mode, TrajectoryMode)
    checked_choice("trajectory(against)", against, Against)
    checked_choice("trajectory(arguments)", arguments, ArgumentMode)
    counting = {
        tool: checked_strings(f"trajectory(compare)[{tool!r}]", names)
        for tool, names in checked_mapping("trajectory(compare)", compare or {}).items()
    }
    name = f"trajectory@{mode}" if against == "incumbent" else f"reference_trajectory@{mode}"

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        expected = reference_calls(pair, against)
        if expected is None:
            return {name: NO_REFERENCE}
        made = agent_calls(observation.tool_calls)
        same = matches(expected, made, mode=mode, arguments=arguments, compare=counting)
        return {name: Scored(float(same))}

    metric = Metric(
        name=name,
        like_with_like=checked_truth("trajectory(like_with_like)", like_with_like),
        descriptive=against == "incumbent",
        of_pair=against == "incumbent",
    )
    version = f"{name}/1 {arguments} {sorted(counting.items())}"
    scorer = PairScorer(metrics=(metric,), version=version, score_one=score_one)
    return AgainstServed(scorer) if against == "incumbent" else scorer
