"""The audit trail."""

import threading

from shadoweval.traffic.audit import add_to_audit, audit_entry, audit_trail


def entry(number, reason="because"):
    return audit_entry("support", old="running", new=f"killed {number}", reason=reason, who="ada")


def test_no_trail_is_an_empty_one(tmp_path):
    """Nothing happened yet."""
    assert audit_trail(tmp_path / "nowhere") == []


def test_lines_of_many_writers_stay_whole(tmp_path):
    """Eight threads with long reasons: every line can be read, none is inside another."""
    reason = "long reason\n" * 2000
    threads = [
        threading.Thread(target=lambda i=i: [add_to_audit(tmp_path, entry(i, reason)) for _ in range(20)])
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    trail = audit_trail(tmp_path)
    assert len(trail) == 160
    assert all(line["reason"] == reason for line in trail)


def test_a_torn_line_takes_no_other_with_it(tmp_path):
    """A writer that died in the middle leaves one unreadable line; the next one stands by itself."""
    add_to_audit(tmp_path, entry(1))
    with (tmp_path / "audit.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"who": "ad')
    add_to_audit(tmp_path, entry(2))

    trail = audit_trail(tmp_path)
    assert [line.get("new") for line in trail] == ["killed 1", None, "killed 2"]
    assert trail[1] == {"unreadable": '{"who": "ad'}


def test_rubbish_is_kept_as_such(tmp_path):
    """Bytes that are no text and JSON that is no entry are kept as unreadable, not raised."""
    (tmp_path / "audit.jsonl").write_bytes(b"\xff\xfe\n3\n")
    add_to_audit(tmp_path, entry(1))

    assert ["unreadable" in line for line in audit_trail(tmp_path)] == [True, True, False]
