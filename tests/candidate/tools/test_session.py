from candidate_rig import envelope

from shadoweval.candidate.tools.session import Session
from shadoweval.candidate.tools.stubs import Stubs


def test_what_a_providers_tool_wrote_is_a_live_write(tmp_path):
    """Nobody was asked, so it ran for real: counted and shown, unless the experiment says that it only reads."""
    session = Session(Stubs(effects={"search": "read"}), envelope(), scratch=tmp_path)
    session.happened("close_ticket", {"id": 7}, effect="unknown")
    session.happened("search", {"query": "x"}, effect="unknown")
    session.happened("web_search", {"query": "x"}, effect="read")
    assert session.live_writes == 1
    assert [(write.tool, write.arguments) for write in session.writes()] == [("close_ticket", {"id": 7})]
