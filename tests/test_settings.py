"""Where things lie."""

import pytest

from shadoweval.errors import SettingsError
from shadoweval.settings import read_settings


def test_defaults(tmp_path, monkeypatch):
    """Without file and environment everything lies in `.shadoweval` of the current folder."""
    monkeypatch.chdir(tmp_path)

    settings = read_settings(environ={})

    assert settings.folder == tmp_path / ".shadoweval"
    assert settings.store_url == f"sqlite:///{tmp_path / '.shadoweval' / 'shadow.db'}"
    assert settings.spool == tmp_path / ".shadoweval" / "spool"


def test_environment_wins_over_file(tmp_path):
    """The file says one thing, the environment another: the environment's holds."""
    file = tmp_path / "s.toml"
    file.write_text('home = "/from/file"\nstore = "sqlite:///file.db"\n', encoding="utf-8")

    settings = read_settings(file, environ={"SHADOWEVAL_HOME": "/from/env"})

    assert (settings.home, settings.store) == ("/from/env", "sqlite:///file.db")


def test_retention_is_a_setting(tmp_path):
    """In the file or in the environment; by default nothing is purged."""
    file = tmp_path / "s.toml"
    file.write_text('retention = "30d"\n', encoding="utf-8")

    assert read_settings(tmp_path / "none.toml", environ={}).retention == ""
    assert read_settings(file, environ={}).retention == "30d"
    assert read_settings(file, environ={"SHADOWEVAL_RETENTION": "12h"}).retention == "12h"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("home = 3", "home = 3 is no text"), ("hom = 'x'", "'hom'.*Did you mean 'home'"), ("home = ", "can't be read")],
)
def test_bad_files_are_named(tmp_path, content, complaint):
    """A wrong type, an unknown name and broken TOML say so, with the file's name."""
    file = tmp_path / "s.toml"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(SettingsError, match=complaint) as caught:
        read_settings(file, environ={})

    assert caught.value.value == str(file)
