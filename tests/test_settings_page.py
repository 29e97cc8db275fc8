"""docs/settings.md names every setting, environment variable and argument, with the default that the code has."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import shadoweval
from shadoweval.settings import Settings, read_settings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+")
KEYS_OF_A_REQUEST = {"adapters/wsgi.py"}
"""Modules whose `environ` is a WSGI request's."""
GROUPS = {
    "Experiment": shadoweval.Experiment,
    "experiment.mirror": shadoweval.Experiment.mirror,
    **{name: getattr(shadoweval, name) for name in ("Sandbox", "Limits", "Traffic", "BreakerLimits", "Rules")},
}
EMPTY = (None, "", (), {})


def rows(text):
    """The cells of each row of its tables, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def section(name):
    """The table behind the line that begins with `NAME(...)`."""
    return PAGE.split(f"\n`{name}(...)`", 1)[1].split("\n\n", 2)[1]


def variables(source):
    """Names of environment variables in a module that reads or writes the environment, and names of ours in any."""
    constants = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    texts = {value for value in constants if isinstance(value, str)}
    named = {text for text in texts if VARIABLE.fullmatch(text)} if "os.environ" in source else set()
    return named | set(re.findall(r"SHADOWEVAL_[A-Z_]*[A-Z]", source))


def test_every_setting_is_told_with_its_variable_and_default():
    """As `Settings` has them, in that order; and each variable sets the setting beside it."""
    told = rows(PAGE.split("## The environment")[0])
    assert [cells[0] for cells in told] == [f"`{name}`" for name in Settings.__dataclass_fields__]
    for setting, variable, default, _ in told:
        name = setting.strip("`")
        value = getattr(Settings(), name)
        assert default == (f"`{value}`" if value else "none"), name
        given = "sqlite:///other.db" if name == "store" else "3d" if name == "retention" else "given"
        assert getattr(read_settings(Path("none.toml"), environ={variable.strip("`"): given}), name) == given


def test_the_file_that_is_shown_can_be_read(tmp_path):
    """The TOML block of the page, as it stands."""
    file = tmp_path / "shadoweval.toml"
    file.write_text(re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1], encoding="utf-8")

    assert read_settings(file, environ={}).retention == "30d"


def test_every_variable_is_told():
    """What the code reads from the environment, or sets in it, stands on the page, or its beginning does."""
    modules = [*(ROOT / "shadoweval").rglob("*.py"), ROOT / "pytest_shadoweval.py"]
    ours = [path for path in modules if not any(path.match(module) for module in KEYS_OF_A_REQUEST)]
    named = {name: path.name for path in ours for name in variables(path.read_text(encoding="utf-8"))}

    assert len(named) > 15
    untold = {name: module for name, module in named.items() if not re.search(rf"`{name}[`_]", PAGE)}
    assert not untold, f"docs/settings.md says nothing of them: add a row to its table for {untold}"


def test_a_variable_is_found_wherever_it_is_named():
    """By a constant, in a tuple, in a comment; other words in capitals are none where no environment is read."""
    assert variables('import os\n_ALL = ("OTEL_A", "B")\nos.environ.get("XDG_HOME")') == {"OTEL_A", "XDG_HOME"}
    assert variables('TABLE = "SOME_NAME"  # SHADOWEVAL_KILL') == {"SHADOWEVAL_KILL"}


@pytest.mark.parametrize("name", GROUPS)
def test_every_argument_is_told_with_its_default(name):
    """Of each group the parameters in their order, several with one default in a row."""
    parameters = [each for each in inspect.signature(GROUPS[name]).parameters.values() if each.name != "self"]
    told = [(argument, cells[1]) for cells in rows(section(name)) for argument in re.findall(r"`(\w+)`", cells[0])]

    assert sorted(argument for argument, _ in told) == sorted(each.name for each in parameters)
    for each in parameters:
        assert dict(told)[each.name] == shown(made(GROUPS[name], each)), each.name


def made(group, parameter):
    """A parameter's default; where each call makes its own, one of them."""
    if repr(parameter.default) == "<factory>":
        return group.__dataclass_fields__[parameter.name].default_factory()
    return parameter.default


def shown(default):
    """A default as the page writes it."""
    if default is inspect.Parameter.empty:
        return "required"
    if inspect.isfunction(default):
        return f"`{default.__name__}`"
    if isinstance(default, shadoweval.Stubs | shadoweval.Limits):
        return f"`{type(default).__name__}()`"
    return "none" if any(default is empty or default == empty for empty in EMPTY) else f"`{default!r}`"
