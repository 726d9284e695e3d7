"""Settings come from the environment, typed, and only from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import make_url

from core.archives.fetching import check_https
from core.db.engine import open_engine
from core.db.schema.migrate import upgrade
from core.errors import ConfigurationError, ForbiddenSourceError
from core.settings import ApiSettings, EgressSettings, Settings
from core.storage.factory import open_storage


def test_embedded_defaults_lie_in_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DERMQ_DATA_DIR", str(tmp_path))
    settings = Settings()
    assert settings.database_url == f"sqlite:///{tmp_path / 'dermq.db'}"
    assert settings.storage_url == (tmp_path / "objects").as_uri()
    assert settings.api.host == "127.0.0.1"


ODD_NAMES = ["My%20Study", "what?x=1", "a#b", "a b+c", "new\nline", 'quote"s', "100%", "ü;&=@:", "back\\slash"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_data_folder_of_any_name_is_that_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setenv("DERMQ_DATA_DIR", str(folder))
    settings = Settings()
    assert make_url(settings.database_url).database == str(folder / "dermq.db")
    engine = open_engine(settings.database_url, settings.database)
    upgrade(engine)
    engine.dispose()
    storage = open_storage(settings.storage_url, settings.storage)
    with storage.writer("uploads/x") as writer:
        writer.write(b"x")
        writer.commit()
    assert (folder / "objects" / "uploads" / "x").read_bytes() == b"x"
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert "dermq.db" in {path.name for path in folder.iterdir()}


def test_a_data_folder_whose_name_is_no_utf8_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DERMQ_DATA_DIR", str(tmp_path / "odd\udcff"))
    with pytest.raises(ConfigurationError, match=r"odd\\xff has bytes in its name that are no UTF-8; set DERMQ_DATA_DIR"):
        _ = Settings().database_url


@pytest.mark.parametrize("mark", ["?x=1", "#b"])
def test_a_mark_that_would_cut_a_file_address_is_refused(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    monkeypatch.setenv("DERMQ_STORAGE_URL", f"file:///data/what{mark}")
    with pytest.raises(ValidationError, match="expected \\? as %3F and # as %23"):
        Settings()


def test_addresses_of_production_replace_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMQ_DATABASE_URL", "postgresql+psycopg://db/dermq")
    monkeypatch.setenv("DERMQ_STORAGE_URL", "s3://bucket/prefix")
    monkeypatch.setenv("DERMQ_API_SOURCE_ROOTS", '["/data", "/more"]')
    settings = Settings()
    assert (settings.database_url, settings.storage_url) == ("postgresql+psycopg://db/dermq", "s3://bucket/prefix")
    assert settings.api.source_roots == (Path("/data"), Path("/more"))


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMQ_BROKER_URL", "redis://:hidden@host/0")
    assert "hidden" not in repr(Settings())


def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMQ_API_PORT", "eighty")
    with pytest.raises(ValidationError, match="port"):
        ApiSettings()


def test_a_home_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("DERMQ_DATA_DIR", "~no-such-user/dermq")
    monkeypatch.setenv("DERMQ_DATABASE_URL", "postgresql+psycopg://db/dermq")
    settings = Settings()
    assert settings.database_url == "postgresql+psycopg://db/dermq"
    with pytest.raises(ConfigurationError, match=r"~no-such-user/dermq cannot be found: .*; set DERMQ_DATA_DIR"):
        _ = settings.storage_url


def test_a_tilde_in_the_data_folder_is_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DERMQ_DATA_DIR", "~/dermq")
    assert Settings().database_url == f"sqlite:///{tmp_path / 'dermq' / 'dermq.db'}"


@pytest.mark.parametrize("written", ["north=https://Archive.Example:8443/North", "north=HTTPS://archive.example:8443/North/"])
def test_an_allowed_source_is_found_however_its_host_is_written(written: str) -> None:
    settings = Settings(egress=EgressSettings(https_sources=(written,)))
    check_https("https://archive.EXAMPLE:8443/North/a.zip", "north", settings)
    with pytest.raises(ForbiddenSourceError):
        check_https("https://archive.example:8443/north/a.zip", "north", settings)
