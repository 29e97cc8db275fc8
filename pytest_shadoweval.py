"""pytest: the `shadow` fixture and its options. Imports pytest and the standard library alone, and so costs nothing.

It stands beside the package, not in it: to import a module of a package runs the package first, in each test run of
each project that has shadoweval installed, whether its tests use it or not.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from shadoweval.evaluation.suite import SuiteOptions
    from shadoweval.evaluation.suite_fixture import Shadow
    from shadoweval.evaluation.suite_items import MarkedSuite, ShadowCase
    from shadoweval.evaluation.suite_verdict import SuiteVerdict

__all__ = [
    "pytest_addoption",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_pycollect_makeitem",
    "pytest_runtest_makereport",
    "shadow",
    "shadow_case",
]

_MOST_PROCESSES = 4
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
    """Collect what suites come to, and make the marker known."""
    config.addinivalue_line(
        "markers",
        "shadow(experiment, cases=None, candidate=None): a test of each case, with the fixture shadow_case, and one of "
        "the verdict",
    )
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
    return _shadow(request.node)


@pytest.fixture
def shadow_case(request: pytest.FixtureRequest) -> ShadowCase:
    """One case of the suite that `@pytest.mark.shadow(...)` names, and what both arms did with it."""
    node, items = request.node, list[Any](request.session.items)
    suite, function = _marked(node), _function(node)
    whole = any(isinstance(item, _VerdictItem) and item.suite == function for item in items)
    asked = [item.callspec.params["shadow_case"] for item in items if not whole and _is_case(item, function)]
    run = suite.run(_suites(node.config).folder_of(function), _shadow(node), asked=asked)
    return suite.case(run, request.param)


def _function(node: Any) -> str:
    """What a test function is called, whatever its parameters."""
    return f"{node.parent.nodeid}::{node.originalname}"


def _is_case(item: Any, function: str) -> bool:
    """Whether an item is one case of a marked function."""
    return "shadow_case" in getattr(item, "fixturenames", ()) and _function(item) == function


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each case."""
    if "shadow_case" in metafunc.fixturenames:
        from shadoweval.evaluation.suite_items import case_names  # noqa: PLC0415 - who does not use it loads nothing

        names = case_names(_marked(metafunc.definition).cases)
        metafunc.parametrize("shadow_case", names, ids=names, indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Add a test of the verdict to those of the cases."""
    made = yield
    if not isinstance(made, list):
        return made
    marked = {item.originalname: item for item in made if "shadow_case" in getattr(item, "fixturenames", ())}
    verdicts = [_VerdictItem.from_parent(collector, name=f"{n}[verdict]", first=first) for n, first in marked.items()]
    return [*made, *verdicts]


class _VerdictItem(pytest.Item):
    """The verdict over all cases of a marked function."""

    def __init__(self, *, first: pytest.Function, **rest: Any) -> None:
        super().__init__(**rest)
        self.suite = _function(first)
        self.own_markers += [mark for mark in first.own_markers if mark.name != "parametrize"]

    def runtest(self) -> None:
        """Judge; fails where the suite is red."""
        suite, shadow = _marked(self), _shadow(self)
        suite.judge(suite.run(_suites(self.config).folder_of(self.suite), shadow), shadow)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Why, and the whole table; no traceback."""
        if isinstance(excinfo.value, AssertionError) or type(excinfo.value).__module__.startswith("shadoweval."):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it stands."""
        return self.path, None, self.name


def _marked(node: Any) -> MarkedSuite:
    """What a test's marker asks for, read once."""
    known = _suites(node.config).marked
    function = node.suite if isinstance(node, _VerdictItem) else _function(node)
    if function not in known:
        from shadoweval.evaluation.suite_items import MarkedSuite  # noqa: PLC0415 - who does not use it loads nothing

        mark = node.get_closest_marker("shadow")
        if mark is None:
            mend = "@pytest.mark.shadow(experiment, cases=...)"
            raise pytest.UsageError(f"{function}: the fixture shadow_case needs {mend}")
        known[function] = MarkedSuite(*mark.args, options=_suite_options(node.config), **mark.kwargs)
    return known[function]


def _suites(config: pytest.Config) -> _Suites:
    suites = config.pluginmanager.get_plugin("shadow-suites")
    assert isinstance(suites, _Suites)
    return suites


def _shadow(node: pytest.Item) -> Shadow:
    from shadoweval.evaluation.suite_fixture import Shadow  # noqa: PLC0415 - who does not use it loads nothing

    def told(suite: SuiteVerdict, markdown: str) -> None:
        _tell(node, suite, markdown)

    return Shadow(
        report_folder=_option(node.config, "report"),
        test=node.nodeid,
        options=_suite_options(node.config),
        strict=_option(node.config, "strict"),
        baseline=_baseline(node.config),
        record=_option(node.config, "bless"),
        told=told,
    )


def _suite_options(config: pytest.Config) -> SuiteOptions:
    from shadoweval.evaluation.suite import SuiteOptions  # noqa: PLC0415 - who does not use it loads nothing
    from shadoweval.evaluation.suite_progress import progress_on  # noqa: PLC0415 - as above

    reporter = config.pluginmanager.get_plugin("terminalreporter")  # none in a worker of xdist
    capture = config.pluginmanager.get_plugin("capturemanager")
    heard = reporter is not None and config.get_verbosity() >= 0
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    processes = _option(config, "processes") or max(1, min(_MOST_PROCESSES, (os.cpu_count() or 1) // workers))
    return SuiteOptions(
        processes=processes,
        repeats=_option(config, "repeats"),
        usd=_option(config, "budget"),
        attributes=tuple(tuple(part.split("=", 1)) for part in _option(config, "slice")),
        progress=progress_on(reporter, capture=capture) if heard else None,
    )


def _tell(node: pytest.Item, suite: SuiteVerdict, markdown: str) -> None:
    """Put it where the test's report takes it along, to JUnit's file and from a worker of xdist to the controller."""
    node.user_properties.append(("shadow.verdict", suite.title))
    entry = {"title": suite.title, "red": bool(suite.failures), "lines": [*suite.failures, *suite.remarks]}
    node.stash.setdefault(_of_test, []).append({**entry, "markdown": markdown})


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
        self.marked: dict[str, MarkedSuite] = {}
        self._made: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """A folder for all processes of this test run."""
        shared: dict[str, Any] = getattr(self.config, "workerinput", {})
        if "shadow_folder" in shared:
            return Path(shared["shadow_folder"])
        self._made = self._made or tempfile.TemporaryDirectory(prefix="shadow-suites-")
        return Path(self._made.name)

    def folder_of(self, function: str) -> Path:
        """Where they share what a suite came to."""
        return self.folder / hashlib.sha256(function.encode()).hexdigest()[:16]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of xdist where that folder is."""
        node.workerinput["shadow_folder"] = str(self.folder)

    def pytest_unconfigure(self) -> None:
        """Nobody needs it any more."""
        if self._made is not None:
            self._made.cleanup()

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
