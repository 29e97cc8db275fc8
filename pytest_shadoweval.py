"""pytest: the `shadow` fixture and its options. Imports pytest and the standard library alone, and so costs nothing.

It stands beside the package, not in it: to import a module of a package runs the package first, in each test run of
each project that has shadoweval installed, whether its tests use it or not.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from shadoweval.evaluation.suite import SuiteOptions
    from shadoweval.evaluation.suite_fixture import Shadow
    from shadoweval.evaluation.suite_verdict import SuiteVerdict

__all__ = [
    "pytest_addoption",
    "pytest_configure",
    "pytest_runtest_makereport",
    "shadow",
]

_MOST_PROCESSES = 4
_SILENCE = 30.0
"""Seconds between two lines of progress where nobody looks on; ten lines a second where somebody does."""
_of_test = pytest.StashKey[list[dict[str, Any]]]()
"""What the suites of a test came to, on their way into its report."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the `--shadow-...` options."""
    add = parser.getgroup("shadoweval", "shadow suites (shadoweval)").addoption
    parser.addini("shadow_baseline", "as --shadow-baseline, from the folder of the ini file", default="")
    add("--shadow-report", metavar="DIR", help="write an HTML report for each use of the shadow fixture")
    add(
        "--shadow-baseline",
        metavar="FILE",
        help="judge the working tree against the main branch as FILE has it recorded",
    )
    add("--shadow-live", action="store_true", help="run both arms live, whatever the ini file says of a recording")
    add("--shadow-bless", action="store_true", help="run the incumbent live, and record it into --shadow-baseline")
    add("--shadow-strict", action="store_true", help="a suite that its cases can't decide is red, too")
    add("--shadow-repeats", metavar="N", type=_count, default=1, help="ask each case N times; it counts once")
    add("--shadow-processes", metavar="N", type=_count, help="cases an arm runs at a time (default: by processors)")
    add("--shadow-budget", metavar="USD", type=float, help="dollars that a suite may spend; it fails beyond")
    add(
        "--shadow-slice",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="only cases with this attribute; may be given several times",
    )
    add(
        "--shadow-summary",
        metavar="FILE",
        default=os.environ.get("GITHUB_STEP_SUMMARY"),
        help="append the verdicts as Markdown to FILE (default: GITHUB_STEP_SUMMARY, where that is set)",
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _option(config: pytest.Config, name: str) -> Any:
    return config.getoption(f"shadow_{name}")


def _baseline(config: pytest.Config) -> Path | None:
    """The recording; of the ini file it lies beside that."""
    if _option(config, "live"):
        return None
    given, ini = _option(config, "baseline"), config.getini("shadow_baseline")
    return config.invocation_params.dir / given if given else config.rootpath / ini if ini else None


def pytest_configure(config: pytest.Config) -> None:
    """Collect what suites come to."""
    config.pluginmanager.register(_Suites(config), "shadow-suites")
    if _option(config, "bless") and _baseline(config) is None:
        raise pytest.UsageError("--shadow-bless: say where to, by --shadow-baseline FILE or the ini's shadow_baseline")
    for part in _option(config, "slice"):
        if "=" not in part:
            raise pytest.UsageError(f"--shadow-slice {part!r}: write NAME=VALUE, such as language=de")


@pytest.fixture
def shadow(request: pytest.FixtureRequest) -> Shadow:
    """Run both arms of an experiment over a case file and judge them; a red suite fails the test.

    Write `shadow(support, cases="evals/support.jsonl")`. It returns the verdict.
    """
    from shadoweval.evaluation.suite_fixture import Shadow  # noqa: PLC0415 - who does not use it loads nothing

    def told(suite: SuiteVerdict, markdown: str) -> None:
        _tell(request.node, suite, markdown)

    return Shadow(
        report_folder=_option(request.config, "report"),
        test=request.node.nodeid,
        options=_suite_options(request.config),
        strict=_option(request.config, "strict"),
        baseline=_baseline(request.config),
        record=_option(request.config, "bless"),
        told=told,
    )


def _suite_options(config: pytest.Config) -> SuiteOptions:
    from shadoweval.evaluation.suite import SuiteOptions  # noqa: PLC0415 - who does not use it loads nothing

    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    processes = _option(config, "processes") or max(1, min(_MOST_PROCESSES, (os.cpu_count() or 1) // workers))
    return SuiteOptions(
        processes=processes,
        repeats=_option(config, "repeats"),
        usd=_option(config, "budget"),
        attributes=tuple(tuple(part.split("=", 1)) for part in _option(config, "slice")),
        progress=_progress(config),
    )


def _tell(node: pytest.Item, suite: SuiteVerdict, markdown: str) -> None:
    """Put it where the test's report takes it along, to JUnit's file and from a worker of xdist to the controller."""
    node.user_properties.append(("shadow.verdict", suite.title))
    entry = {"title": suite.title, "red": bool(suite.failures), "lines": [*suite.failures, *suite.remarks]}
    node.stash.setdefault(_of_test, []).append({**entry, "markdown": markdown})


def _progress(config: pytest.Config) -> Callable[[str, int, int], None] | None:
    """Writes how far a suite is; None: there is no terminal here (a worker of xdist, `-q`)."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or config.get_verbosity() < 0:
        return None
    watched = sys.__stdout__ is not None and sys.__stdout__.isatty()
    due = time.monotonic() + (0.1 if watched else _SILENCE)

    def progress(experiment: str, done: int, of: int) -> None:
        nonlocal due
        if time.monotonic() < due and (done < of or not watched):
            return
        due = time.monotonic() + (0.1 if watched else _SILENCE)
        line = f"shadow {experiment}: {done:,} of {of:,} runs"
        line = f"\r{line}\x1b[K" if watched and done < of else "\r\x1b[K" if watched else f"\n{line}"
        if capture is None:
            reporter.write(line, flush=True)
            return
        with capture.global_and_fixture_disabled():
            reporter.write(line, flush=True)

    return progress


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send along what the test's suites came to."""
    report = yield
    suites = item.stash.get(_of_test, [])
    if suites:
        vars(report)["shadow_suites"] = suites  # plain data, which xdist carries to the controller
        item.stash[_of_test] = []
    return report


class _Suites:
    """All suites of the run, in the process that the user started."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.known: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in what a test's suites came to."""
        self.known += getattr(report, "shadow_suites", ())

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Some lines for each suite, green ones too: what they don't show is as good to know."""
        if self.known:
            terminalreporter.section("shadow suites")
        for suite in self.known:
            colour = {"red" if suite["red"] else "green": True}
            terminalreporter.write_line(suite["title"], **colour)
            for line in suite["lines"]:
                terminalreporter.write_line(f"  {line}")

    def pytest_sessionfinish(self) -> None:
        """Append the verdicts to the job's summary."""
        file = _option(self.config, "summary")
        if file and self.known and not hasattr(self.config, "workerinput"):
            with Path(file).open("a", encoding="utf-8") as summary:
                summary.write("\n".join(suite["markdown"] for suite in self.known) + "\n")
