"""Secrets from files, and passwords that are put into URLs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from core.settings import BrokerSettings, DatabaseSettings, Settings

AWKWARD = "p@ss:w/rd?#%"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of secrets, and a database and a broker that ask for passwords."""
    monkeypatch.setenv("DERMQ_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("DERMQ_DATABASE_URL", "postgresql+psycopg://dermq@db:5432/dermq")
    monkeypatch.setenv("DERMQ_BROKER_URL", "redis://redis:6379/0")
    return tmp_path


def test_passwords_are_read_from_files_and_put_into_the_urls(folder: Path) -> None:
    (folder / "dermq_database_password").write_text(f"{AWKWARD}\n")
    (folder / "dermq_broker_password").write_text("simple\n")
    settings = Settings()
    assert make_url(settings.database_url).password == AWKWARD
    assert make_url(settings.database_url).host == "db"
    assert settings.broker.full_url == "redis://:simple@redis:6379/0"
    assert AWKWARD not in repr(settings)
    assert "simple" not in repr(settings)


def test_the_environment_comes_before_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "dermq_broker_password").write_text("from-the-file")
    monkeypatch.setenv("DERMQ_BROKER_PASSWORD", "from-the-environment")
    assert BrokerSettings().full_url == "redis://:from-the-environment@redis:6379/0"


def test_an_empty_variable_counts_as_absent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "dermq_broker_password").write_text("from-the-file")
    monkeypatch.setenv("DERMQ_BROKER_PASSWORD", "")
    monkeypatch.setenv("DERMQ_DATABASE_POOL_SIZE", "")
    assert BrokerSettings().full_url == "redis://:from-the-file@redis:6379/0"
    assert DatabaseSettings().pool_size == 5


def test_without_a_password_the_url_stays_as_it_is(folder: Path) -> None:
    assert BrokerSettings().full_url == "redis://redis:6379/0"
    assert Settings().database_url == "postgresql+psycopg://dermq@db:5432/dermq"


def test_two_passwords_are_refused_and_none_is_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMQ_BROKER_URL", "redis://:hidden-one@redis/0")
    monkeypatch.setenv("DERMQ_BROKER_PASSWORD", "hidden-two")
    with pytest.raises(ValueError, match="DERMQ_BROKER_PASSWORD is set, and DERMQ_BROKER_URL holds a password") as caught:
        _ = BrokerSettings().full_url
    assert "hidden" not in str(caught.value)


def test_a_password_without_a_server_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMQ_DATABASE_URL", "")
    monkeypatch.setenv("DERMQ_DATABASE_PASSWORD", "secret")
    with pytest.raises(ValueError, match="DERMQ_DATABASE_URL names no host"):
        _ = Settings().database_url


def test_a_folder_that_is_not_there_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMQ_SECRETS_DIR", str(folder / "nowhere"))
    with pytest.raises(ValueError, match="nowhere: expected a folder with one file per secret"):
        BrokerSettings()
