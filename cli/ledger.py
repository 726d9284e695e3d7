"""The ledger as an operator's commands use it: opened by the settings of this machine, and who gives the command."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.output.exit_codes import CliError, ExitCode

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from core.access.callers import Caller
    from core.settings import Settings


def settings_of(data_dir: Path | None) -> Settings:
    """The settings of this machine, with the data folder that was named, if one was."""
    from dataclasses import replace

    from cli.stack.folder import DataFolder
    from core.environment import read_settings
    from core.settings import DataSettings

    return replace(read_settings(), data=DataSettings(data_dir=DataFolder.at(data_dir).root))


@contextmanager
def open_ledger(settings: Settings, *, migrate: bool = False) -> Iterator[Engine]:
    """The database, for as long as the context lasts.

    Args:
        settings: they say where it is.
        migrate: bring it up to date first, or make it.

    Raises:
        CliError: it has not been made yet.
    """
    from core.db.engine import open_engine
    from core.db.schema.migrate import current_revision, head_revision, upgrade

    engine = open_engine(settings.database_url, settings.database)
    try:
        if migrate:
            upgrade(engine)
        if (found := current_revision(engine)) != head_revision():
            raise CliError(
                f"the database is at revision {found or 'none'}, expected {head_revision()}",
                ExitCode.CONFLICT,
                "Start `dermq up` once: it brings the database up to date.",
            )
        yield engine
    finally:
        engine.dispose()


def operator(by: str | None) -> Caller:
    """Who gives the command, for the audit: what --by says, else user@host."""
    from core.access.callers import local_caller
    from core.db.models import LOCAL_TENANT_ID

    return local_caller(LOCAL_TENANT_ID, by or this_user())


def this_user() -> str:
    """user@host."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        name = f"uid {os.getuid()}"
    return f"{name}@{platform.node()}"
