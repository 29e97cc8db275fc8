"""The command line, over a small experiment of its own."""

import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from shadoweval import evaluate, report
from shadoweval.cli.commands import COMMANDS
from shadoweval.cli.output import say
from shadoweval.cli.parser import main
from shadoweval.worker.opening import load_experiment, open_store
from tests.commands import enter, invoke
from tests.waiting import until

PIPELINE = """
from shadoweval import Experiment, Rules, Traffic, better, no_worse, tool
from shadoweval.scoring import errors, exact_match

@tool(effect="write")
def book(number):
    open("booked.txt", "a").write(f"{number}\\n")
    return "booked"

toy = Experiment(
    name="toy",
    candidates={"upper": "toyapp:upper"},
    incumbent="toyapp:plain",
    labels="cases.jsonl",
    scorers=[exact_match(), errors()],
    gates=[better("exact_match", by=0.1), no_worse("errors", by=0.1)],
    rules=Rules(min_units=20, min_hours=0, writes="waived"),
)

def plain(question):
    book(question)
    return question

def upper(question):
    book(question)
    return "right" if len(question) > 3 else question

served = toy.mirror(1.0, control=0.0)(plain)
"""


@pytest.fixture(name="project")
def _project(tmp_path, monkeypatch):
    (tmp_path / "toyapp.py").write_text(textwrap.dedent(PIPELINE), encoding="utf-8")
    cases = [json.dumps({"query": f"question {n}", "reference": "right"}) for n in range(80)]
    (tmp_path / "cases.jsonl").write_text("\n".join(cases), encoding="utf-8")
    enter(tmp_path, monkeypatch)
    yield tmp_path
    sys.modules.pop("toyapp", None)


def shadoweval(*arguments, check=True):
    """A worker, and what shows its log, has a process of its own."""
    if arguments[0] not in {"worker", "-v"}:
        done = invoke(*arguments)
        assert done.returncode == 0 or not check, done
        return done
    return subprocess.run(
        [sys.executable, "-m", "shadoweval", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=check,
        env={**os.environ, "PYTHONPATH": "."},
    )


def serve(count):
    script = f"import toyapp\nfor n in range({count}): toyapp.served(f'question {{n}}')"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_the_whole_way_from_a_mirrored_call_to_a_report(project):
    """Serve, shadow, evaluate, report, explain, status: and the tool wrote for the incumbent alone."""
    serve(80)
    booked = (project / "booked.txt").read_text(encoding="utf-8")

    worked = shadoweval("worker", "toyapp:toy", "--until-idle")
    judged = shadoweval("evaluate", "toyapp:toy", "--report", "reports", "--markdown", "summary.md")
    forms = ["--json", "again.json", "--junit", "out/again.xml", "--texts", "none"]
    written = shadoweval("report", "toyapp:toy", "--out", "again.html", *forms)
    status = shadoweval("status", "toyapp:toy", check=False).stdout
    explained = shadoweval("explain", "toyapp:toy").stdout
    missing = shadoweval("explain", "toyapp:toy", "--query", "no such", check=False)

    assert "where the arms part first" in explained
    assert "There is no pair of query 'no such' for 'upper'" in missing.stderr
    assert "80 envelopes" in worked.stdout
    assert "toy / upper: PROMOTE" in judged.stdout
    assert "PROMOTE" in (project / "reports" / "toy.html").read_text(encoding="utf-8")
    assert (project / "summary.md").read_text(encoding="utf-8").startswith("## toy / upper: PROMOTE")
    assert "again.html" in written.stdout
    assert "eligible 80, mirrored 80" in status
    assert "80 paired" in status
    assert "exact_match" in explained
    assert (project / "booked.txt").read_text(encoding="utf-8") == booked

    content = json.loads((project / "again.json").read_text(encoding="utf-8"))
    queries = content["verdicts"][0]["queries"]
    assert (queries["pairs"], len(queries["rows"]), queries["rows"][0]["text"]) == (80, 80, "")
    assert 'testcase classname="toy.upper" name="verdict"' in (project / "out" / "again.xml").read_text("utf-8")

    toy = importlib.import_module("toyapp").toy
    report(evaluate(toy), "by_python.html")

    erased = shadoweval("erase", "toyapp:toy", "--before", "1s").stdout
    assert "erased 80 queries older than 1s" in erased
    assert (
        f"still holds words of erased queries, delete it or write it again: {project / 'reports' / 'toy.html'}"
        in erased
    )
    assert str(project / "by_python.html") in erased
    assert "again.html" not in erased


def test_a_worker_that_is_killed_loses_and_doubles_nothing(project):
    """SIGKILL in the middle, a new worker, and every query is paired exactly once."""
    serve(80)
    first = subprocess.Popen(
        [sys.executable, "-m", "shadoweval", "worker", "toyapp:toy"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "."},
    )
    first.stdout.readline()
    until(lambda: "upper: 0 paired" not in shadoweval("status", "toyapp:toy", check=False).stdout, every=0.1)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()

    shadoweval("worker", "toyapp:toy", "--until-idle")
    status = shadoweval("status", "toyapp:toy", check=False).stdout

    assert "80 paired (80 different), 0 waiting" in status
    assert "failed" not in status


def used():
    """A home in which something has run, and nothing came of it."""
    open_store(load_experiment("toyapp:toy")).close()


def test_exit_codes_say_the_verdict(project):
    """Held because there is no evidence is another code than promoted."""
    used()
    done = shadoweval("evaluate", "toyapp:toy", check=False)

    assert done.returncode == 2
    assert "HOLD (error)" in done.stdout


def test_a_window_that_slides_acts_on_nothing(project):
    """Its exit code is 3 whatever it shows; it alerts nobody, and the next alert compares with the verdict before."""
    serve(80)
    shadoweval("worker", "toyapp:toy", "--until-idle")

    promoted = shadoweval("-v", "evaluate", "toyapp:toy", check=False)
    trend = shadoweval("-v", "evaluate", "toyapp:toy", "--since", "1d", check=False)
    again = shadoweval("-v", "evaluate", "toyapp:toy", check=False)

    assert [each.returncode for each in (promoted, trend, again)] == [0, 3, 0]
    assert "In this window alone: promote" in trend.stdout
    assert ["verdict changed" in each.stderr for each in (promoted, trend, again)] == [True, False, False]


def test_a_window_is_begun_and_remembered(project):
    """By whoever begins it, now or at a time, and said in every verdict after that; a time needs its zone."""
    serve(80)
    shadoweval("worker", "toyapp:toy", "--until-idle")

    begun = shadoweval("evaluate", "toyapp:toy", "--new-window", "--why", "a new index", "--who", "ann", check=False)
    later = shadoweval("evaluate", "toyapp:toy", check=False)
    again = shadoweval("evaluate", "toyapp:toy", "--since", "2026-01-31T12:00Z", check=False)
    refused = shadoweval("evaluate", "toyapp:toy", "--since", "2026-01-31T12:00", check=False)

    assert [each.returncode for each in (begun, later, again, refused)] == [2, 2, 0, 4]
    assert "(ann, 20" in later.stdout
    assert ": a new index)" in later.stdout
    assert "The window begins at 2026-01-31 12:00:00 UTC" in again.stdout
    assert "2026-01-31T12:00Z is UTC" in refused.stderr


def test_an_edit_that_changes_answers_begins_a_window(project):
    """A comment in the candidate's file changes nothing; its code does, and the verdict says so."""

    def served_by(old, new):
        source = (project / "toyapp.py").read_text(encoding="utf-8")
        (project / "toyapp.py").write_text(source.replace(old, new), encoding="utf-8")
        serve(80)
        shadoweval("worker", "toyapp:toy", "--until-idle")
        return shadoweval("evaluate", "toyapp:toy", check=False).stdout

    first = served_by("", "")
    commented = served_by("def upper(question):\n", "# says what is right\ndef upper(question):\n")
    changed = served_by('return "right" if', 'return "wrong" if')

    assert "after 80 pairs" in first
    assert "after 160 pairs" in commented
    assert "after 80 pairs" in changed
    assert "changed in mid-run" in changed


def test_every_so_often_until_stopped(project):
    """A schedule runs at once, and a signal ends it cleanly with the verdict's code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "shadoweval", "evaluate", "toyapp:toy", "--every", "1h"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert "HOLD" in process.stdout.readline()

    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "1 runs, 0 missed" in out


@pytest.mark.slow
def test_a_store_that_is_held_is_waited_for(project):
    """While another process writes for longer than SQLite waits, the look waits too, and says so; then it sees all."""
    serve(3)
    shadoweval("worker", "toyapp:toy", "--until-idle")
    with closing(sqlite3.connect(project / ".shadoweval" / "shadow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        process = subprocess.Popen(
            [sys.executable, "-m", "shadoweval", "evaluate", "toyapp:toy", "--every", "1s"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": "."},
        )
        assert "waiting for this to pass" in process.stdout.readline()
        other.execute("ROLLBACK")
    while "after 3 pairs" not in (line := process.stdout.readline()):
        assert line, "it ended"

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 3


def test_kill_and_resume(project, capsys):
    """The switch is thrown and taken back, with the file it wrote and the reason in the audit trail."""
    serve(1)
    assert main(["kill", "toy", "--reason", "bad answers"]) == 0
    assert str(project / ".shadoweval" / "kill" / "toy") in capsys.readouterr().out
    assert main(["status", "toyapp:toy"]) == 0  # what waits does so because somebody asked for it
    assert f"KILLED by the file {project / '.shadoweval' / 'kill' / 'toy'}" in capsys.readouterr().out

    assert main(["resume", "toy"]) == 0
    assert "toy: running" in capsys.readouterr().out
    assert main(["status", "toyapp:toy"]) == 1
    assert "KILLED" not in capsys.readouterr().out
    assert "bad answers" in (project / ".shadoweval" / "audit.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["kill", "resume"])
@pytest.mark.parametrize(
    ("name", "complaint"), [("tooy", "Did you mean 'toy'?"), ("other", "It has: 'toy'."), ("toyapp", "'toy'")]
)
def test_a_mistyped_name_is_refused_and_changes_nothing(project, capsys, command, name, complaint):
    """An operator who was not understood must not believe to have stopped it."""
    serve(1)

    assert main([command, name]) == 4

    told = capsys.readouterr()
    assert complaint in told.err
    assert str(project / ".shadoweval") in told.err
    assert told.out == ""
    assert not (project / ".shadoweval" / "kill").exists()
    assert not (project / ".shadoweval" / "audit.jsonl").exists()


@pytest.mark.parametrize("name", ["toy", "ALL"])
def test_a_kill_from_another_folder_is_refused(project, capsys, monkeypatch, name):
    """Where nothing ever ran there is nothing to stop: it names the folder, and makes none."""
    serve(1)
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")

    assert main(["kill", name]) == 4
    assert str(project / "elsewhere" / ".shadoweval") in capsys.readouterr().err
    assert list((project / "elsewhere").iterdir()) == []


def test_a_kill_before_the_first_call_can_be_forced(project, capsys):
    """--force, or naming the definition, kills what has not run yet; then it can be resumed."""
    assert main(["kill", "later", "--force"]) == 0
    assert (project / ".shadoweval" / "kill" / "later").exists()
    assert main(["resume", "later"]) == 0

    assert main(["kill", "toyapp:toy"]) == 0
    assert main(["status", "toyapp:toy"]) == 3
    assert "KILLED" in capsys.readouterr().out


def test_a_resume_that_resumes_nothing_says_what_still_kills(project, capsys, monkeypatch):
    """A flag file and the environment kill on: not "running", and not 0."""
    (project / "flags.toml").write_text("kill = ['toy']\n", encoding="utf-8")
    monkeypatch.setenv("SHADOWEVAL_FLAGS", "flags.toml")
    serve(1)
    assert main(["kill", "toy"]) == 0
    capsys.readouterr()

    assert main(["resume", "toy"]) == 4
    out = capsys.readouterr().out
    assert "running" not in out
    assert str(project / "flags.toml") in out
    assert main(["status", "toyapp:toy"]) == 0
    assert str(project / "flags.toml") in capsys.readouterr().out

    (project / "flags.toml").write_text("", encoding="utf-8")
    monkeypatch.setenv("SHADOWEVAL_KILL", "toy")
    assert main(["resume", "toy"]) == 4
    assert "SHADOWEVAL_KILL=toy" in capsys.readouterr().out


def test_status_writes_down_a_kill_that_nobody_wrote_down(project, capsys):
    """`touch` leaves no line: who looks at it leaves one."""
    serve(1)
    (project / ".shadoweval" / "kill").mkdir()
    (project / ".shadoweval" / "kill" / "toy").touch()

    assert main(["status", "toyapp:toy"]) == 0

    (line,) = (project / ".shadoweval" / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    assert (json.loads(line)["who"], json.loads(line)["new"]) == ("unknown", "killed")


@pytest.mark.parametrize(
    "command", [["kill", "toy", "--force"], ["resume", "toy", "--force"], ["status", "toyapp:toy"],
                ["evaluate", "toyapp:toy"], ["worker", "toyapp:toy", "--until-idle"]],
)  # fmt: skip
def test_an_unusable_home_is_told_in_one_line(project, capsys, command):
    """A file where the folder should be: its path, what to do, and 4; an exit code of 1 would mean rollback."""
    (project / ".shadoweval").write_text("in the way", encoding="utf-8")

    assert main(command) == 4

    told = capsys.readouterr().err
    assert str(project / ".shadoweval") in told
    assert "Traceback" not in told


def test_a_fault_of_ours_is_no_rollback(project, capsys, monkeypatch):
    """Whatever is raised ends with 4, in one line or with its traceback; Python's own 1 means rollback."""
    monkeypatch.setattr("shadoweval.cli.control.read_settings", lambda: 1 / 0)

    assert main(["kill", "toy"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "ZeroDivisionError: division by zero. It is a fault" in line
    assert main(["--debug", "kill", "toy"]) == 4
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["evaluate", "toyapp:toy"], ["worker", "toyapp:toy"], ["status", "toyapp:toy"]])
def test_a_package_without_its_extra_says_which_one(project, command):
    """A base installation names the extra in one line, also where a command imports numpy by itself."""
    code = (
        "import sys\n"
        "for name in ('numpy', 'scipy', 'sqlmodel', 'sqlalchemy', 'alembic', 'jinja2', 'markupsafe'):\n"
        "    sys.modules[name] = None\n"
        "from shadoweval.cli.parser import main\n"
        f"sys.exit(main({command!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert "pip install 'shadoweval[store]'" in line


def test_what_is_printed_does_not_drive_the_terminal(capsys):
    """Escapes, bells and turned directions in users' words are shown; letters of any script are left alone."""
    say("a\x1b]0;owned\x07b\u202ec\x9b1m \u00e9\u4e2d\ttab\nline")

    assert capsys.readouterr().out == "a\\x1b]0;owned\\x07b\\u202ec\\x9b1m \u00e9\u4e2d\ttab\nline\n"


@pytest.mark.parametrize("arguments", [["kil"], ["kill"], ["kill", "toy", "--unknown"], []])
def test_a_command_that_is_not_understood_is_no_verdict(arguments, capsys):
    """Argparse's own 2 means here that the evidence is wrong."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 4
    assert "usage:" in capsys.readouterr().err


def test_a_worker_that_was_slowed_goes_on_after_a_resume(project, capsys):
    """The alarm says how, and is gone after it."""
    serve(1)
    (project / ".shadoweval" / "resting-toy.json").write_text(
        '{"level": 3, "ratio": 2, "since": "2026-01-01T12:00:00Z"}'
    )
    assert main(["status", "toyapp:toy"]) == 1
    assert "ALARM: candidates slow the incumbent down: 2x in working minutes" in capsys.readouterr().out

    assert main(["resume", "toy"]) == 0
    assert "toy: its worker may run as much as it can again" in capsys.readouterr().out
    main(["status", "toyapp:toy"])
    assert "candidates slow" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["kill", "resume"])
def test_the_switch_loads_neither_numbers_nor_databases(project, command):
    """An operator in a hurry does not wait for numpy, sqlmodel or the report's templates."""
    serve(1)
    code = (
        "import sys\nfrom shadoweval.cli.parser import main\n"
        f"assert main([{command!r}, 'toy']) == 0\n"
        "heavy = {'numpy', 'sqlmodel', 'sqlalchemy', 'jinja2', 'scipy', 'asyncio', 'shadoweval.experiment'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.splitlines()[-1] == "[]"


def test_status_loads_no_statistics(project):
    """It reads the store, and needs no numpy for that unless the definition does."""
    code = (
        "import sys, runpy\nimport shadoweval.cli.storage\n"
        "print(sorted({'numpy', 'scipy', 'jinja2', 'shadoweval.evaluation.evaluate'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"


def test_labels_and_erasure(project, capsys):
    """Labels that came later are joined, old queries are erased."""
    used()
    assert main(["labels", "toyapp:toy", "cases.jsonl"]) == 0
    assert main(["labels", "toyapp:toy", "cases.jsonl"]) == 0
    assert main(["erase", "toyapp:toy", "--before", "30d"]) == 0

    out = capsys.readouterr().out
    assert "80 cases read, 80 labels new or changed" in out
    assert "80 cases read, 0 labels new or changed" in out
    assert "erased 0 queries older than 30d" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["status", "toyapp"], "it names no attribute"),
        (["status", "toyapq:toy"], "can't be imported"),
        (["status", "toyapp:toyy"], "has no 'toyy'"),
        (["status", "toyapp:plain"], "it is a function, no Experiment"),
        (["evaluate", "toyapp:toy", "--since", "yesterday"], "30m or 24h"),
        (["report", "toyapp:toy"], "shadoweval evaluate toyapp:toy"),
        (["labels", "toyapp:toy", "none.jsonl"], "can't be read"),
        (["erase", "toyapp:toy"], "--unit ID"),
        (["purge", "toyapp:toy"], "retention = '30d'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(project, capsys, arguments, complaint):
    """Exit code 4, and a message that says how to mend it; no traceback."""
    used()
    assert main(arguments) == 4
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [
    ["evaluate"], ["report"], ["explain"], ["calibrate"], ["simulate"], ["rescore"], ["labels", "cases.jsonl"],
    ["erase", "--unit", "ann"], ["purge", "--before", "1d"], ["alerts"],
], ids=lambda each: each[0])  # fmt: skip
def test_a_wrong_folder_makes_no_home(project, capsys, arguments):
    """Whoever types a command where the application does not run is told so, and nothing is there afterwards."""
    command, *options = arguments
    options = ["send", "toyapp:toy"] if command == "alerts" else ["toyapp:toy", *options]
    assert main([command, *options]) == 4
    said = capsys.readouterr().err
    assert "No experiment has mirrored or run anything in" in said
    assert "set SHADOWEVAL_HOME to its folder" in said
    assert not Path(".shadoweval").exists()


def test_help_of_every_command(capsys):
    """Every command explains itself."""
    for command in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert command in capsys.readouterr().out


def test_a_spent_budget_is_in_the_status(project, capsys):
    """What is spent, and what that stops."""
    text = (
        (project / "toyapp.py")
        .read_text(encoding="utf-8")
        .replace('name="toy",', 'name="toy", traffic=Traffic(budget={"tokens": 5}),')
    )
    (project / "toyapp.py").write_text(text, encoding="utf-8")
    spend = "import toyapp; toyapp.toy.admission.budget.charge(tokens=5)"
    subprocess.run([sys.executable, "-c", spend], check=True, timeout=60, env={**os.environ, "PYTHONPATH": "."})

    told = shadoweval("status", "toyapp:toy", check=False).stdout

    assert "BUDGET SPENT: 5 of 5 tokens are spent today; nothing is mirrored and no candidate runs" in told


def test_silence_is_in_the_status_and_in_the_evaluation(project):
    """One mirrored call, seen by a look, then forty that can't be copied: the mirrored one mutes nothing."""
    serve(1)
    shadoweval("worker", "toyapp:toy", "--until-idle")
    assert "ALARM" not in shadoweval("status", "toyapp:toy", check=False).stdout
    lock = "import threading, toyapp\nfor _ in range(40): toyapp.served(threading.Lock())"
    text = (
        (project / "toyapp.py")
        .read_text(encoding="utf-8")
        .replace("    book(question)\n    return question", "    return 1")
    )
    (project / "toyapp.py").write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, "-c", lock], check=True, timeout=60, env={**os.environ, "PYTHONPATH": "."})

    status = shadoweval("status", "toyapp:toy", check=False).stdout
    shadoweval("evaluate", "toyapp:toy", "--report", "reports", check=False)

    assert "ALARM: 40 calls, none mirrored. Most frequent reason: uncopyable (40)" in status
    assert "Alarm: 40 calls, none mirrored" in (project / "reports" / "toy.html").read_text(encoding="utf-8")
