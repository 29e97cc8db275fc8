"""A case file as items of pytest: each case is a test with an id of its own, and the verdict over all of them is one.

    @pytest.mark.shadow(support, cases="evals/support.jsonl")
    def test_support(shadow_case):
        assert "I can't" not in shadow_case.candidate.outcome.answer

The suite runs once, when the first of its items runs, whichever process of pytest-xdist that is; the others read what
came of it. So the verdict is the same with any number of them, and no case is paid for twice.
"""

from __future__ import annotations

import contextlib
import pickle
import re
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.errors import ArgumentError, ShadowEvalError
from shadoweval.evaluation.cases import Case, queries_of
from shadoweval.evaluation.suite import SuiteOptions, SuiteRun, case_file, chosen_cases
from shadoweval.evaluation.suite_fixture import Shadow
from shadoweval.experiment import Experiment
from shadoweval.private import private_folder, replace_private
from shadoweval.records import INCUMBENT, Observation, Verdict

__all__ = ["MarkedSuite", "ShadowCase", "case_names"]

_WORDS: Final = 6


class ShadowCase(msgspec.Struct, frozen=True, kw_only=True):
    """A case, and what both arms did with it; what the fixture `shadow_case` gives."""

    case: Case
    incumbent: Observation
    candidate: Observation


def case_names(cases: Sequence[Case]) -> list[str]:
    """Ids of tests: a case's own, or the beginning of its question and a digest, wherever in the file it stands."""
    names: list[str] = []
    for case in cases:
        words = "-".join(re.findall(r"\w+", case.query)[:_WORDS])
        names.append(case.id or f"{words}-{case.identity[:8]}")
    return names


class MarkedSuite:
    """What `@pytest.mark.shadow(experiment, cases=..., candidate=...)` asks for.

    Raises:
        ArgumentError: not an Experiment.
        CaseFileError: the cases can't be read.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        options: SuiteOptions,
        cases: str | Path | None = None,
        candidate: str | None = None,
    ) -> None:
        if not isinstance(experiment, Experiment):  # pyright: ignore[reportUnnecessaryIsInstance] - users'
            mend = "Write @pytest.mark.shadow(support, cases='cases.jsonl')."
            raise ArgumentError("shadow()", experiment, expected="an Experiment", mend=mend)
        self.experiment, self.candidate = experiment, candidate
        self.file = case_file(experiment, cases)
        self.cases = chosen_cases(self.file, options=options)
        self._run: SuiteRun | None = None

    def run(self, folder: Path, shadow: Shadow, *, asked: Sequence[str] = ()) -> SuiteRun:
        """What came of it; it is played by whoever comes first of this test run's processes.

        Args:
            folder: Of this suite, which those processes share and nobody else may write to.
            shadow: Plays it.
            asked: Names of the only cases to be played (`case_names`); none: all.

        Raises:
            ShadowEvalError: it can't be played.
        """
        if self._run is not None:
            return self._run
        private_folder(folder)
        file = folder / "run.pickle"
        with _alone(folder):
            if not file.exists():
                replace_private(file, pickle.dumps(self._played(shadow, asked)))
            played: SuiteRun | str = pickle.loads(file.read_bytes())  # noqa: S301 - ours: nobody else may write there
        if isinstance(played, str):
            raise ShadowEvalError(played)
        self._run = played
        return played

    def _played(self, shadow: Shadow, asked: Sequence[str]) -> SuiteRun | str:
        """What came of it, or why it can't be played, which the other processes need not find out again."""
        known = zip(case_names(self.cases), self.cases, strict=True)
        only = frozenset(case.identity for name, case in known if name in asked)
        try:
            names = shadow.named(self.experiment, self.candidate)
            return shadow.play(self.experiment, names, cases=self.file, only=only)
        except ShadowEvalError as error:
            return str(error)

    def case(self, run: SuiteRun, name: str) -> ShadowCase:
        """One case of what was played.

        Raises:
            ShadowEvalError: it was not, since the recording of the main branch does not have it.
        """
        identity = dict(zip(case_names(self.cases), (case.identity for case in self.cases), strict=True))[name]
        for case, query in zip(run.cases, queries_of(run.cases, entry=""), strict=True):
            if case.identity == identity:
                arms = dict(run.observations[query.id])
                incumbent = arms.pop(INCUMBENT)
                return ShadowCase(case=case, incumbent=incumbent, candidate=next(iter(arms.values())))
        raise ShadowEvalError(f"Case {name!r} is not in the recording of the main branch: it was not run.")

    def judge(self, run: SuiteRun, shadow: Shadow) -> Verdict:
        """The verdict over all cases; fails where it is red."""
        __tracebackhide__ = True
        return shadow.judge(run, self.experiment)[0]


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    import fcntl  # noqa: PLC0415 - where there is none, candidates can't run either

    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
