"""Where things lie."""

import pytest

from shadoweval.errors import SettingsError
from shadoweval.settings import Settings, read_settings, without_secrets


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


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:secret@db:5432/shadow", "postgresql://ada:***@db:5432/shadow"),
        ("postgres://ada:se@c/r:et@db/shadow", "postgres://ada:***@db/shadow"),
        ("postgresql://db/shadow?user=ada&password=secret&x=1", "postgresql://db/shadow?user=ada&password=***&x=1"),
        ("ada:secret@db/shadow", "ada:***@db/shadow"),
        ("postgresql://:secret@db/shadow", "postgresql://:***@db/shadow"),
        ("postgresql://ada@db:5432/shadow", "postgresql://ada@db:5432/shadow"),
        ("sqlite:////folder/ada@work.db", "sqlite:////folder/ada@work.db"),
    ],
)
def test_urls_are_shown_without_their_secrets(url, shown):
    """Whatever is in a password, and where it stands; a URL without one stays as it is."""
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    "settings",
    [{"store": "ada:secret@db/shadow"}, {"store": ["postgresql://ada:secret@db"]}, {"webhook": ["https://x/secret"]}],
)
def test_errors_of_settings_show_no_secret(settings, tmp_path):
    """Neither from code nor from the file; and settings that are printed leave store and webhook out."""
    file = tmp_path / "s.toml"
    file.write_text("\n".join(f"{name} = {value!r}" for name, value in settings.items()), encoding="utf-8")

    with pytest.raises(SettingsError) as from_code:
        Settings(**settings)
    with pytest.raises(SettingsError) as from_file:
        read_settings(file, environ={})

    assert "secret" not in f"{from_code.value} {from_file.value}"
    assert "secret" not in repr(Settings(store="postgresql://ada:secret@db", webhook="https://x/secret"))
