"""Settings come from the environment, typed, and only from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ConfigurationError
from core.settings import ApiSettings, Settings


def test_embedded_defaults_lie_in_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DERMQ_DATA_DIR", str(tmp_path))
    settings = Settings()
    assert settings.database_url == f"sqlite:///{tmp_path / 'dermq.db'}"
    assert settings.storage_url == (tmp_path / "objects").as_uri()
    assert settings.api.host == "127.0.0.1"


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
