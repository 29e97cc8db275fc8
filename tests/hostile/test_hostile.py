"""No candidate of a hostile set is promoted or rolled back for the wrong reason, and the text says the right one.

To add one: write the candidate as a function into `targets/hostile_targets.py` (or into a module of its own beside it,
where its import is what is hostile) and a row below:

    Row(candidate="half_connect", decision="hold", says=("the guard refused a connection to '127.0.0.1:9' (30)",))

Each row goes the whole way in some seconds: the incumbent is mirrored, a worker runs the candidate under the guard,
`evaluate` decides, and `says` must stand in what is printed.
"""

from pathlib import Path

import pytest

from shadoweval import Limits, Rules, Sandbox, Stubs, no_worse
from shadoweval.errors import TargetError
from shadoweval.scoring import errors, tool_success

from .conftest import Row, Shadowed, parameters, part

REFUSED_MAIL = ("ended 60 of 60 runs: the tool 'send_mail' was refused (60)", "Stubs({'send_mail': ")
BROKEN = ("proven broken: errors is no worse by 0.2",)
NOT_OURS = ("The shadow",)

ROWS = [
    # An honest one, by which the set shows that it would promote.
    Row(candidate="same", decision="promote", silent=NOT_OURS),
    Row(
        candidate="incumbent",
        incumbent="incumbent",
        decision="promote",
        silent=NOT_OURS,
        experiment={"gates": [no_worse("errors", by=0.2), no_worse("writes", by=0.2)]},
    ),
    # The candidate's own failures.
    Row(candidate="raises", decision="rollback", says=BROKEN, silent=NOT_OURS),
    Row(candidate="exits", decision="rollback", says=BROKEN, silent=NOT_OURS, calls=40),
    Row(candidate="kills_itself", decision="rollback", says=BROKEN, silent=NOT_OURS, calls=40),
    Row(
        candidate="hangs",
        decision="rollback",
        says=BROKEN,
        silent=NOT_OURS,
        calls=24,
        experiment={"sandbox": Sandbox(limits=Limits(seconds=0.2, start_seconds=8.0))},
    ),
    Row(candidate="mails_then_breaks", decision="hold", says=("Looks broken", "send_mail refused"), silent=NOT_OURS),
    # What the stubs refused.
    Row(candidate="mails", decision="hold", says=REFUSED_MAIL),
    Row(candidate="mails_async", decision="hold", says=REFUSED_MAIL),
    Row(candidate="mails_stream", decision="hold", says=REFUSED_MAIL),
    Row(candidate="mails_in_thread", decision="hold", says=REFUSED_MAIL),
    Row(candidate="mails_in_group", decision="hold", says=REFUSED_MAIL),
    Row(candidate="mails_and_hides_it", decision="hold", says=REFUSED_MAIL),
    Row(candidate="mails_and_keeps_the_text", decision="hold", says=REFUSED_MAIL),
    Row(candidate="mails_and_goes_on", decision="hold", says=("60 of the candidate's 60", "send_mail refused (60)")),
    Row(candidate="asks_for_the_weather", decision="hold", says=("the tool 'weather' was refused", "live=['weather']")),
    Row(
        candidate="other_order",
        incumbent="incumbent",
        decision="hold",
        says=("the tool 'look' was refused (60)", "Stubs(live=['look'])"),
    ),
    # What the guard refused.
    Row(
        candidate="half_connect",
        decision="hold",
        says=("30 of 60 runs: the guard refused a connection to '127.0.0.1:9' (30)", "Sandbox(allow=['127.0.0.1:9'])"),
    ),
    Row(candidate="looks_up_a_name", decision="hold", says=("'api.model.example", "Sandbox(allow=['api.model.example")),
    Row(candidate="starts_a_process", decision="hold", says=("the guard refused process (60)",)),
    Row(candidate="writes_a_file", decision="hold", says=("the guard refused to write in '/var/tmp' (60)",)),
    # What its import tried, and what that left behind: nobody's run, so no reason for either.
    Row(candidate="hostile_imports:answer", decision="promote", silent=NOT_OURS),
    # What raised around it.
    Row(
        candidate="third_is_unspeakable",
        decision="hold",
        says=("ended 20 of 60 runs: redact= raised LookupError (20)", "Experiment(redact=...)"),
        experiment={"redact": part("cannot_redact_snowmen")},
    ),
    Row(
        candidate="a_number",
        decision="hold",
        says=("ended 60 of 60 runs: outcome= raised AttributeError (60)",),
        experiment={"outcome": part("read_answer")},
    ),
    # What it leaves behind is charged to nobody, and what it writes otherwise is not overlooked.
    Row(candidate="leaves_a_thread", decision="promote", silent=NOT_OURS),
    Row(candidate="acts_later", decision="promote", silent=NOT_OURS),
    Row(candidate="refunds_too_much", incumbent="incumbent", decision="hold", says=("refund with another cents (60)",)),
    # A tool that fails by what it returns has failed.
    Row(
        candidate="finds_nothing",
        incumbent="finds",
        decision="rollback",
        says=("proven broken: tool_success is no worse by 0.2",),
        experiment={
            "scorers": [errors(), tool_success()],
            "gates": [no_worse("errors", by=0.2), no_worse("tool_success", by=0.2)],
            "sandbox": Sandbox(stubs=Stubs(live=True)),
        },
    ),
    # What stubs take is not the candidate's time, however long; what never comes back is the shadow's.
    Row(
        candidate="mails",
        decision="promote",
        silent=NOT_OURS,
        calls=40,
        experiment={
            "sandbox": Sandbox(stubs=Stubs({"send_mail": part("slow_stand_in")}), limits=Limits(seconds=0.3)),
            "rules": Rules(min_hours=0, min_units=20, writes="waived"),
        },
    ),
    Row(
        candidate="mails",
        decision="hold",
        says=("of 4 runs: its stubs used the time up (",),
        calls=4,
        experiment={
            "sandbox": Sandbox(
                stubs=Stubs({"send_mail": part("endless_stand_in")}), limits=Limits(seconds=0.1, start_seconds=8.0)
            )
        },
    ),
    # Live writes are counted where the candidate's end can't lose them; what nobody judges is said.
    Row(
        candidate="writes_and_dies",
        decision="rollback",
        says=("made 10 live writes", "live writes by candidates: 10"),
        calls=10,
        experiment={"sandbox": Sandbox(stubs=Stubs(default=[part("Through")()]))},
    ),
    Row(
        candidate="writes_and_hangs",
        decision="rollback",
        says=("made 10 live writes", "live writes by candidates: 10"),
        calls=10,
        experiment={
            "sandbox": Sandbox(stubs=Stubs(default=[part("Through")()]), limits=Limits(seconds=0.3)),
        },
    ),
    Row(
        candidate="same",
        decision="promote",
        says=("live writes by candidates: 0 by tools; what went to 127.0.0.1:9 is not judged",),
        experiment={"sandbox": Sandbox(allow=["127.0.0.1:9"])},
    ),
    Row(
        candidate="same",
        decision="promote",
        says=("live writes by candidates: unknown: no guard",),
        experiment={"sandbox": Sandbox(guard=False)},
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", parameters(ROWS))
def test_a_hostile_candidate_gets_the_verdict_it_deserves(row, tmp_path):
    """Decision and sentence are right."""
    (verdict,) = Shadowed(row, tmp_path).judged().verdicts

    text = str(verdict)
    assert verdict.decision == row.decision, text
    assert [part for part in row.says if part not in text] == [], text
    assert [part for part in row.silent if part in text] == [], text


def test_an_import_that_acts_is_refused_by_name(tmp_path):
    """It is no observation: nothing of the candidate ran, and nothing landed."""
    mark = Path("/var/tmp/shadoweval-hostile-import")
    with pytest.raises(TargetError, match=str(mark)):
        Shadowed(Row(candidate="hostile_import:candidate", decision="hold", calls=1), tmp_path).judged()

    assert not mark.exists()


def test_stubs_mend_what_was_refused(tmp_path):
    """The line that the text names makes the same candidate judgeable; that it writes more has to be meant."""
    stubs = Stubs({"send_mail": part("stand_in")})
    meant = Rules(min_hours=0, min_units=20, writes="waived")
    row = Row(candidate="mails", decision="promote", experiment={"sandbox": Sandbox(stubs=stubs), "rules": meant})

    (verdict,) = Shadowed(row, tmp_path).judged().verdicts

    assert verdict.promotes, verdict
    assert "WRITES DIFFER in 60 of the 60 pairs" in str(verdict)
    assert "send_mail although the incumbent made no such call (60)" in str(verdict)
