"""`shadoweval doctor`: what is wrong is named with its mend, and nothing is made or changed."""

import json
import socket
import sqlite3

import pytest

from shadoweval.cli.installed import extras
from shadoweval.cli.parser import main


@pytest.fixture(name="place")
def _place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "STORE", "SETTINGS", "WEBHOOK"):
        monkeypatch.delenv(f"SHADOWEVAL_{name}", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    return tmp_path


def test_a_new_folder_is_well_and_stays_as_it_was(place, capsys):
    """Python, packages, home, store, clock and guard are looked at; a home that is not there is not made."""
    code = main(["doctor"])

    out = capsys.readouterr().out
    assert code == 0, out
    assert "Nothing is wrong." in out
    assert "is not there yet; the first mirrored call makes it" in out
    assert "contained by: " in out
    assert list(place.iterdir()) == []


def test_each_fault_is_named_with_its_mend(place, capsys, monkeypatch):
    """A home that others write, a store of a later version, an endpoint that is down, no such experiment."""
    home = place / "home"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    with sqlite3.connect(place / "later.db") as store:
        store.execute("CREATE TABLE shadow_schema (version_num TEXT)")
        store.execute("INSERT INTO shadow_schema VALUES ('9999')")
    store.close()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("SHADOWEVAL_HOME", str(home))
    monkeypatch.setenv("SHADOWEVAL_STORE", f"sqlite:///{place}/later.db")
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")

    code = main(["doctor", "no_such_module:experiment", "--json"])

    said = json.loads(capsys.readouterr().out)
    found = {each["what"]: each for each in said["findings"]}
    assert code == 1
    assert said["faults"] == ["experiment", "home", "store"]
    assert f"chmod go-w {home}" in found["home"]["words"]
    assert "written by a later shadoweval" in found["store"]["words"]
    assert found["endpoint"]["state"] == "warning"
    assert f"127.0.0.1:{port} does not answer" in found["endpoint"]["words"]
    assert "'no_such_module' can't be imported" in found["experiment"]["words"]


def test_versions_are_held_to_what_the_package_asks_for(tmp_path, monkeypatch):
    """Absent, too old, too new and fitting ones, by extra; 1.10 is later than 1.9."""
    needs = (
        "old>=1.10", "fine[more]>=1.9,<2", "new<1.5; extra == 'a'", 'fine==1.10.0 ; extra == "b"',
        "absent>=1; extra == 'b'",
    )  # fmt: skip
    for name, version, lines in (("whole", "1", needs), ("old", "1.9", ()), ("fine", "1.10", ()), ("new", "1.5.1", ())):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        asked = "".join(f"Requires-Dist: {line}\n" for line in lines)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{asked}", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    base, a, b = extras("whole")

    assert base == ("", (), ("old 1.9 (needs >=1.10)",), 2)
    assert a == ("a", (), ("new 1.5.1 (needs <1.5)",), 1)
    assert b == ("b", ("absent",), (), 1)
