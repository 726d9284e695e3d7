"""Settings from files: a folder with one file per secret, as container engines and Kubernetes mount them.

The environment comes first, then the file named as the variable in lower case (`dermq_database_password`), stripped of white
space. The folder is DERMQ_SECRETS_DIR, by default /run/secrets where that exists.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource

DEFAULT_DIR = Path("/run/secrets")


class Concern(BaseSettings):
    """Settings that may also come from files. An empty variable counts as absent, so that compose files can pass all on."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class hands them in by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then files: the folder is looked for now, not at import."""
        folder = secrets_dir()
        files = (SecretsSettingsSource(settings_cls, secrets_dir=folder),) if folder else ()
        return (init_settings, env_settings, *files)


def secrets_dir() -> Path | None:
    """The folder of secrets, None if there is none.

    Raises:
        ValueError: DERMQ_SECRETS_DIR names something that is no folder.
    """
    named = os.environ.get("DERMQ_SECRETS_DIR")
    if not named:
        return DEFAULT_DIR if DEFAULT_DIR.is_dir() else None
    if not Path(named).is_dir():
        raise ValueError(f"DERMQ_SECRETS_DIR is {named}: expected a folder with one file per secret, and there is none")
    return Path(named)


def with_password(url: str, password: SecretStr, *, variable: str) -> str:
    """Put a password into a URL: `redis://host/0` becomes `redis://:password@host/0`; characters are quoted as RFC 3986 asks.

    Args:
        url: with or without a user name.
        password: an empty one changes nothing.
        variable: the setting's name, for the error.

    Raises:
        ValueError: the URL has a password already, or names no host that could ask for one.
    """
    secret = password.get_secret_value()
    if not secret:
        return url
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{variable}_PASSWORD is set, but {variable}_URL names no host: set it, or leave the password out")
    if parts.password is not None:
        raise ValueError(f"{variable}_PASSWORD is set, and {variable}_URL holds a password, too: keep one of them")
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(secret, safe='')}@{host}").geturl()
