"""`shadow`, as a test has it: run a suite, keep its report, fail where it is red."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.errors import ExperimentError, ShadowEvalError
from shadoweval.evaluation.suite import SuiteOptions, SuiteRun, play
from shadoweval.evaluation.suite_recorded import bless, play_recorded
from shadoweval.evaluation.suite_verdict import SuiteFailedError, SuiteVerdict, suite_verdict
from shadoweval.experiment import Experiment
from shadoweval.records import Arm, Evaluation, Verdict
from shadoweval.reporting.html import report
from shadoweval.reporting.markdown import markdown

__all__ = ["Shadow"]

_LONGEST: Final = 150
"""Characters of a report's name, of the 255 bytes that a file's may have."""


class Shadow:
    """The pytest fixture: call it with an experiment and a case file; it fails where the suite is red.

    Args:
        report_folder: Where each call writes its HTML report; None: nowhere.
        test: Name of the test, which names its reports, so that none is written over another test's.
        options: How suites are run.
        strict: Whether a suite that its cases can't decide is red.
        baseline: The recorded main branch, which the working tree is judged against; None: both arms run live.
        record: Whether the main branch is recorded, into `baseline`.
        told: Called with what each suite came to, and its Markdown, before a red one fails.
    """

    def __init__(
        self,
        *,
        report_folder: str | None = None,
        test: str = "",
        options: SuiteOptions = SuiteOptions(),  # noqa: B008 - frozen
        strict: bool = False,
        baseline: Path | None = None,
        record: bool = False,
        told: Callable[[SuiteVerdict, str], object] = lambda _suite, _markdown: None,
    ) -> None:
        self.evaluation: Evaluation | None = None
        """The evaluation of the last call."""
        self._report_folder, self._test, self._options = report_folder, test, options
        self._strict, self._told = strict, told
        self._baseline, self._record = baseline, record
        self._reports = 0

    def __call__(
        self,
        experiment: Experiment,
        *,
        cases: str | Path | None = None,
        candidate: str | None = None,
        processes: int | None = None,
        check: bool = True,
    ) -> Verdict:
        """Run both arms over the cases and decide about the candidate.

        Args:
            experiment: What to run; it must name its incumbent.
            cases: Case file; None: the experiment's labels.
            candidate: Name; None: the only one there is, or, against a recording, the incumbent's target as it stands
                in the working tree.
            processes: Processes an arm; None: as `--shadow-processes` says.
            check: Whether a red suite fails here; False: the verdict is returned whatever it is.

        Raises:
            SuiteFailedError: it is red (an AssertionError).
            ShadowEvalError: the cases can't be read, an arm can't be imported, the name is unknown, or there are
                several candidates and none is named.
        """
        __tracebackhide__ = True
        run = self.play(experiment, self.named(experiment, candidate), cases=cases, processes=processes)
        return self.judge(run, experiment, check=check)[0]

    def all(
        self,
        experiment: Experiment,
        *,
        cases: str | Path | None = None,
        candidates: Sequence[str] | None = None,
        processes: int | None = None,
        check: bool = True,
    ) -> tuple[Verdict, ...]:
        """The same for several candidates, or for all of them: the incumbent runs once, and each gets its verdict."""
        __tracebackhide__ = True
        names = experiment.candidates if candidates is None else candidates
        run = self.play(experiment, list(names), cases=cases, processes=processes)
        return self.judge(run, experiment, check=check)

    def named(self, experiment: Experiment, candidate: Arm | None) -> list[Arm]:
        """Which candidates are meant; none: the working tree.

        Raises:
            ExperimentError: there are several, and none is named.
        """
        __tracebackhide__ = True
        if candidate is not None:
            return [candidate]
        if self._baseline is not None:
            return []
        if len(experiment.candidates) > 1:
            named = ", ".join(map(repr, experiment.candidates))
            raise ExperimentError(
                f"Experiment {experiment.name!r} has several candidates: {named}. Name one, candidate=..., or have all "
                "of them judged by shadow.all(...)."
            )
        return list(experiment.candidates)

    def play(
        self,
        experiment: Experiment,
        names: Sequence[Arm],
        *,
        cases: str | Path | None = None,
        processes: int | None = None,
        only: frozenset[str] = frozenset(),
    ) -> SuiteRun:
        """Run the arms; nothing is judged. `only`: of which cases (`Case.identity`); empty: of all.

        Raises:
            ShadowEvalError: as of a call.
        """
        __tracebackhide__ = True
        options = msgspec.structs.replace(self._options, only=only)
        if processes is not None:
            options = msgspec.structs.replace(options, processes=processes)
        try:
            if self._baseline is None:
                return play(experiment, cases=cases, candidates=names, options=options)
            if self._record:
                return bless(experiment, self._baseline, cases=cases, options=options)
            return play_recorded(experiment, self._baseline, cases=cases, candidates=names, options=options)
        except ShadowEvalError as error:  # where it stands in our code helps nobody to mend it
            raise error.with_traceback(None) from None

    def judge(self, run: SuiteRun, experiment: Experiment, *, check: bool = True) -> tuple[Verdict, ...]:
        """Report what was played, tell it, and fail where it is red.

        Raises:
            SuiteFailedError: it is.
        """
        __tracebackhide__ = True
        self.evaluation = evaluation = run.evaluation
        if self._report_folder is not None:
            arms = "-".join(verdict.candidate for verdict in evaluation.verdicts)
            report(evaluation, Path(self._report_folder) / self._report_name(experiment.name, arms))
        verdicts = evaluation.verdicts
        suites = [suite_verdict(run, each, experiment=experiment, strict=self._strict) for each in verdicts]
        for suite in suites:
            self._told(suite, markdown(msgspec.structs.replace(evaluation, verdicts=(suite.verdict,))))
        if check and any(suite.failures for suite in suites):
            raise SuiteFailedError(suites)
        return verdicts

    def _report_name(self, experiment: str, arms: str) -> str:
        self._reports += 1
        again = f"-{self._reports}" if self._reports > 1 else ""
        name = f"{self._test}-{experiment}-{arms}" if self._test else f"{experiment}-{arms}"
        return f"{_file_name(name)}{again}.html"


def _file_name(name: str) -> str:
    """The name without what file systems refuse, and short enough for them; different names stay different."""
    name = name.replace("::", ".").replace("/", ".")
    plain = re.sub(r"[^\w.-]+", "-", name)
    if len(plain) <= _LONGEST and plain == name:
        return plain
    return f"{plain[-_LONGEST:]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
