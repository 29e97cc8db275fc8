"""Exit codes and `--json`, for every command that the parser has."""

import argparse
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from shadoweval.cli.commands import COMMANDS
from shadoweval.cli.exit_codes import COMMON, EXIT_CODES, sentence
from shadoweval.cli.parser import _parser, main
from tests.commands import enter

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
PIPELINE = """
from shadoweval import Experiment, Rules, Schedule, Settings, better, no_worse
from shadoweval.scoring import errors, exact_match

def plain(question):
    return "wrong \\x1b[31m\\u202e\\x9b"

def upper(question):
    return "right"

def definition(name, **more):
    return Experiment(
        name=name, candidates={"upper": "codeapp:upper"}, incumbent="codeapp:plain", labels="cases.jsonl",
        scorers=[exact_match(), errors()], gates=[better("exact_match", by=0.1), no_worse("errors", by=0.3)],
        rules=Rules(min_units=20, min_hours=0, writes="waived"), rerun=1.0, **more)

toy = definition("toy", schedules=[Schedule(every="1h", run="look", name="looks")])
"""


@pytest.fixture(name="project", scope="module")
def _project(tmp_path_factory):
    """A home with forty judged pairs and an answer that would drive a terminal."""
    folder = tmp_path_factory.mktemp("codes")
    (folder / "codeapp.py").write_text(textwrap.dedent(PIPELINE), encoding="utf-8")
    cases = [json.dumps({"query": f"question {n}", "reference": "right"}) for n in range(40)]
    (folder / "cases.jsonl").write_text("\n".join(cases), encoding="utf-8")
    served = "import codeapp\nserved = codeapp.toy.mirror(1.0, control=0.0)(codeapp.plain)\n"
    served += "for n in range(40): served(f'question {n}')"
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    for command in (["-c", served], ["-m", "shadoweval", "worker", "codeapp:toy", "--until-idle"]):
        subprocess.run([sys.executable, *command], cwd=folder, env=environment, check=True, timeout=240)
    return folder


@pytest.fixture(name="here")
def _here(project, monkeypatch):
    enter(project, monkeypatch)
    yield project
    sys.modules.pop("codeapp", None)


def options_of(command):
    """The option strings of a command, as its parser has them."""
    (actions,) = (each for each in _parser()._actions if isinstance(each, argparse._SubParsersAction))
    return {name for action in actions.choices[command]._actions for name in action.option_strings}


def test_every_command_has_json_and_its_codes():
    """The parser is walked: none lacks `--json` or a row of the table, and the table has no other rows."""
    assert [name for name in COMMANDS if "--json" not in options_of(name)] == []
    assert list(EXIT_CODES) == list(COMMANDS)


def test_the_page_has_the_table():
    """docs/command-line.md lists each command with the codes that `--help` names, and the two of all commands."""
    section = PAGE.partition("## Exit codes")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", section, re.MULTILINE))

    assert rows == {name: ", ".join(f"{code} {says}" for code, says in EXIT_CODES[name].items()) for name in COMMANDS}
    for code, says in COMMON.items():
        assert f"{code} {says}" in PAGE


def test_the_help_says_the_codes(capsys, monkeypatch):
    """At its end, for each command."""
    monkeypatch.setenv("COLUMNS", "2000")
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        assert sentence(name) in capsys.readouterr().out


WALK = [
    (["evaluate", "codeapp:toy", "--texts", "full"], 0, {"evaluation", "written"}),
    (["evaluate", "codeapp:toy", "--since", "1d"], 3, {"evaluation", "written"}),
    (["report", "codeapp:toy", "--against", "previous"], 0, {"evaluation", "written", "since"}),
    (["report", "codeapp:toy", "--against", "never"], 4, {"error"}),
    (["explain", "codeapp:toy"], 0, {"evaluation", "explained"}),
    (["explain", "codeapp:toy", "--query", "none"], 4, {"error"}),
    (["calibrate", "codeapp:toy"], 0, {"calibration"}),
    (["simulate", "codeapp:toy", "--streams", "3"], 0, {"experiment", "simulations"}),
    (["rescore", "codeapp:toy", "--metric", "errors"], 0, {"experiment", "scores"}),
    (["schedule", "codeapp:toy", "--next", "2"], 0, {"experiment", "next"}),
    (["schedule", "codeapp:toy", "--list"], 0, {"experiment", "schedules"}),
    (["status", "codeapp:toy"], 0, {"experiment", "health", "alarms", "candidates", "counters", "verdicts"}),
    (["alerts", "codeapp:toy"], 0, {"experiment", "owed"}),
    (["alerts", "test", "codeapp:toy"], 4, {"error"}),
    (["export", "codeapp:toy", "--out", "pairs.jsonl"], 0, {"experiment", "pairs", "written", "format"}),
    (["export", "codeapp:toy"], 4, {"error"}),
    (["labels", "codeapp:toy", "cases.jsonl"], 0, {"cases", "changed", "marks", "new_marks"}),
    (["kill", "toy", "--reason", "walk"], 0, {"name", "killed_by"}),
    (["resume", "toy"], 0, {"name", "killed_by", "unslowed"}),
    (["kill", "toyy"], 4, {"error"}),
    (["doctor", "no_such:one"], 1, {"findings", "faults"}),
    (["compare", "none.csv", "--no-worse", "score=0.1"], 4, {"error"}),
    (["init", "--pipeline", "codeapp:plain", "--name", "walked"], 0, {"pipeline", "experiment", "cases", "written"}),
    (["init", "--pipeline", "codeapp:plain", "--name", "walked"], 4, {"error"}),
    (["demo", "--out", "."], 4, {"error"}),
    (["drill", "codeapp:toy", "--alert"], 4, {"error"}),
    (["worker", "codeapp:none"], 4, {"error"}),
    (["purge", "codeapp:toy"], 4, {"error"}),
    (["purge", "codeapp:toy", "--before", "1d"], 0, {"purged"}),
    (["erase", "codeapp:toy", "--unit", "nobody"], 0, {"erased_of_unit", "still_holding"}),
]


def test_each_command_says_one_line_of_json(here, capsys):
    """Head, exit code and its own fields, and nothing else on stdout; people's lines go to stderr, inert as ever."""
    walked = set()
    for command, code, fields in WALK:
        assert main([*command, "--json"]) == code, capsys.readouterr().err
        told = capsys.readouterr()
        (line,) = told.out.splitlines()
        said = json.loads(line)
        assert (said["schema"], said["command"], said["exit_code"]) == ("shadoweval.command/1", command[0], code)
        assert said.keys() - {"schema", "command", "exit_code"} >= fields, command
        assert code in EXIT_CODES[command[0]] | COMMON
        assert ("error" in said) == (code == 4)
        assert "Traceback" not in told.err
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", told.out.rstrip() + told.err)
        walked.add(command[0])
    assert walked == set(COMMANDS)


def test_without_json_nothing_is_said_twice(here, capsys):
    """The same command for people: lines on stdout, none of them JSON, no colours in a pipe."""
    assert main(["status", "codeapp:toy"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("toy: ")
    assert "shadoweval.command" not in told.out
    assert "\x1b" not in told.out + told.err


def test_a_module_that_ends_the_process_is_no_verdict(here, capsys):
    """sys.exit(1) at import would mean rollback."""
    (here / "ending.py").write_text("import sys\nsys.exit(1)\n", encoding="utf-8")

    assert main(["status", "ending:toy"]) == 4
    assert "ended the process" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_verdict(here):
    """`| head`: no traceback, and a code that is no verdict's."""
    command = [sys.executable, "-m", "shadoweval", "status", "codeapp:toy"]
    environment = {**os.environ, "PYTHONPATH": "."}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        process.stdout.close()
        error = process.stderr.read()

    assert process.returncode == 4
    assert "Traceback" not in error
    assert "BrokenPipe" not in error
