from collections import Counter

from candidate_rig import call, envelope
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.candidate.tools.session import Session, compare_writes
from shadoweval.candidate.tools.stubs import Stubs
from shadoweval.records import WriteEffect


def wrote(name, **arguments):
    return call(name, arguments, effect="write")


def would(name, **arguments):
    return WriteEffect(tool=name, arguments=arguments)


def test_writes_are_same_missing_extra_or_duplicated():
    """Each write is counted once: an equal one, one left out, one too many, one made twice."""
    incumbent = [wrote("pay", n=1), wrote("pay", n=2), wrote("mail", to="a")]
    candidate = [would("pay", n=1.0), would("pay", n=1), would("mail", to="b"), would("mail", to="b")]

    assert compare_writes(incumbent, candidate) == {"same": 1, "missing": 2, "extra": 1, "duplicated": 2}


def test_reads_and_failed_calls_of_the_incumbent_wrote_nothing():
    """Only writes that happened are expected of the candidate; undeclared tools count as writes."""
    calls = [
        call("look", {"n": 1}, effect="read"),
        call("pay", {"n": 1}, effect="write", error="ShopError: no"),
        call("mystery", {"n": 1}, effect="unknown"),
        call("declared", {"n": 1}, effect="unknown"),
    ]

    assert compare_writes(calls, [], effects={"declared": "read"}) == {
        "same": 0, "missing": 1, "extra": 0, "duplicated": 0,
    }  # fmt: skip


KEYS = st.lists(st.sampled_from("abcd"), max_size=12)


@given(KEYS, KEYS)
def test_the_counts_add_up(incumbent, candidate):
    """Incumbent = same + missing; candidate = same + extra + duplicated; extra counts what the incumbent never did."""
    counts = compare_writes([wrote(key) for key in incumbent], [would(key) for key in candidate])

    assert counts["same"] + counts["missing"] == len(incumbent)
    assert counts["same"] + counts["extra"] + counts["duplicated"] == len(candidate)
    assert counts["same"] == (Counter(incumbent) & Counter(candidate)).total()
    assert counts["extra"] == len(set(candidate) - set(incumbent))


def test_what_a_providers_tool_wrote_is_a_live_write(tmp_path):
    """Nobody was asked, so it ran for real: counted and shown, unless the experiment says that it only reads."""
    session = Session(Stubs(effects={"search": "read"}), envelope(), scratch=tmp_path)
    session.happened("close_ticket", {"id": 7}, effect="unknown")
    session.happened("search", {"query": "x"}, effect="unknown")
    session.happened("web_search", {"query": "x"}, effect="read")
    assert session.live_writes == 1
    assert [(write.tool, write.arguments) for write in session.writes()] == [("close_ticket", {"id": 7})]
