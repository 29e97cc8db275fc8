import functools
import time
from concurrent.futures import ThreadPoolExecutor

from candidate_rig import call, envelope

from shadoweval.candidate.tools.session import Session
from shadoweval.candidate.tools.stubs import Stubs
from shadoweval.capture.failed_results import judged
from shadoweval.scoring.write_sets import compare_writes


def test_what_a_providers_tool_wrote_is_a_live_write(tmp_path):
    """Nobody was asked, so it ran for real: counted and shown, unless the experiment says that it only reads."""
    session = Session(Stubs(effects={"search": "read"}), envelope(), scratch=tmp_path)
    session.happened("close_ticket", {"id": 7}, effect="unknown")
    session.happened("search", {"query": "x"}, effect="unknown")
    session.happened("web_search", {"query": "x"}, effect="read")
    assert session.live_writes == 1
    assert [(write.tool, write.arguments) for write in session.writes()] == [("close_ticket", {"id": 7})]


def test_parallel_calls_of_one_tool_are_all_replayed(tmp_path):
    """Whoever comes first makes the index of the tool's calls; the others wait for all of it, not for a part."""

    def normal(arguments):
        time.sleep(0.001)
        return arguments

    calls = [call("refund", {"x": x}, f"refunded {x}", effect="write") for x in range(4)]
    for _ in range(40):
        session = Session(Stubs(), envelope(calls=calls), scratch=tmp_path)
        answer = functools.partial(session.answer, "refund", effect="write", live=None, normal=normal)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda x, answer=answer: answer({"x": x}), range(4)))
        assert [(a.answered, a.result) for a in answers] == [("replayed", f"refunded {x}") for x in range(4)]


def test_of_many_refused_tools_fifty_are_told_apart_and_all_are_counted(tmp_path):
    """A model that makes up a name for each call makes no list without an end."""
    session = Session(Stubs(), envelope(), scratch=tmp_path)
    session.close()  # whatever is called from now on is refused
    for n in [*range(80), 79, 3]:
        session.answer(f"tool {n}", {}, effect="write", live=None)

    counts = {refusal.detail: refusal.count for refusal in session.refusals()}
    assert len(counts) == 51
    assert sum(counts.values()) == 82
    assert (counts["tool 3"], counts["and others"]) == (2, 31)


def declined(result):
    """A judge of results."""
    return result == "declined"


def test_a_failed_write_is_no_write(tmp_path):
    """Neither by the incumbent nor by the candidate, whoever says that it failed."""
    served = [
        call("pay", {"id": 1}, {"error": "no money"}, effect="write"),
        call("refund", {"id": 1}, "declined", effect="write"),
        call("mail", {"id": 1}, "sent", effect="write"),
    ]
    session = Session(Stubs(failed={"refund": declined}), envelope(calls=served), scratch=tmp_path)
    for made in served:
        assert session.answer(made.name, made.arguments, effect="write", live=None).result == made.result

    assert [write.tool for write in session.writes()] == ["mail"]
    calls = [judged(made, session.stubs.failed) for made in served]
    compared = compare_writes(calls, calls, unrecorded=session.writes())
    assert (compared.same, compared.missing, compared.extra, compared.duplicated) == (1, 0, 0, 0)
