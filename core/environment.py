"""Settings read at the start of a process: what is wrong with them is a sentence, and an unknown variable a warning."""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

import core.settings
from core.errors import ConfigurationError
from core.proxies import keep_loopback_direct
from core.secretfiles import Concern, with_password
from core.settings import Settings, resolve_data_dir

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# Read elsewhere: core/secretfiles.py, cli/options.py, cli/apikey.py, cli/stack/state.py.
_OTHERS = ("DERMQ_SECRETS_DIR", "DERMQ_SERVER", "DERMQ_API_KEY", "DERMQ_API_KEY_FILE", "DERMQ_STACK_ID")
_EXIT_USAGE = 2
_ALIKE = 0.75  # difflib's ratio: one word of a name may be wrong


def start_process() -> Settings:
    """Settings for a process that begins: logs are configured, unknown variables warned of.

    Leaves the process with 2, and a sentence on stderr, where a setting cannot be used, or the ledger's data folder cannot be
    made or written.
    """
    from core.telemetry.logs import configure_logs, get_logger  # noqa: PLC0415 - the command line has no logs

    try:
        settings = read_settings()
        if not settings.database.url:  # the ledger is a file in the data folder
            make_data_folder(settings.data.data_dir)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(_EXIT_USAGE) from error
    keep_loopback_direct(os.environ)
    configure_logs(settings.log.level)
    for warning in unknown_variables(os.environ):
        get_logger(__name__).warning("unknown_variable", reason=warning)
    return settings


def read_settings() -> Settings:
    """All settings, from DERMQ_* variables and secret files.

    Raises:
        ConfigurationError: a value that its setting does not take; the message names the variable, never a secret.
    """
    try:
        settings = Settings()
        with_password(settings.database.url, settings.database.password, variable="DERMQ_DATABASE")
        settings.broker.require_password()
    except ValidationError as error:
        concern = getattr(core.settings, error.title)
        faults = "; ".join(_describe(concern, each) for each in error.errors(include_url=False))
        raise ConfigurationError(f"invalid settings in the environment: {faults}") from error
    except ValueError as error:
        raise ConfigurationError(f"invalid settings in the environment: {error}") from error
    return settings


def make_data_folder(path: Path) -> None:
    """Make the data folder, readable by its owner only, unless it is there.

    Raises:
        ConfigurationError: it cannot be found, made or written; the message names the folder and DERMQ_DATA_DIR.
    """
    folder = resolve_data_dir(path)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(_refuse_folder(folder, f"cannot be made: {error.strerror}")) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(_refuse_folder(folder, "cannot be written"))


def _refuse_folder(folder: Path, reason: str) -> str:
    return f"the data folder {folder} {reason}; set DERMQ_DATA_DIR to a folder that can be written"


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each DERMQ_* variable that nobody reads, with the nearest name that somebody does."""
    known = sorted({*_OTHERS, *known_variables()})
    unknown = sorted(name for name in environment if name.startswith("DERMQ_") and name not in known)
    return [_warn(name, difflib.get_close_matches(name, known, 1, _ALIKE)) for name in unknown]


def known_variables() -> Iterable[str]:
    """The variable of every setting."""
    for concern in dataclasses.asdict(Settings()).values():
        for field in type(concern).model_fields:
            yield _variable(type(concern), (field,))


def _warn(name: str, nearest: list[str]) -> str:
    advice = f"the nearest is {nearest[0]}" if nearest else "docs/reference/settings.md lists all"
    return f"{name} is no setting of DermQ and has no effect: {advice}"


def _variable(concern: type[Concern], place: tuple[int | str, ...]) -> str:
    """DERMQ_API_ and ("port",) → DERMQ_API_PORT; DERMQ_WORKER where settings contradict one another."""
    field = str(place[0]) if place else ""
    return f"{concern.model_config['env_prefix']}{field.upper()}".rstrip("_")


def _describe(concern: type[Concern], error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    field: Any = concern.model_fields.get(str(error["loc"][0])) if error["loc"] else None
    is_shown = field is not None and field.annotation is not SecretStr and "got" not in message
    came = f", got {error['input']!r}" if is_shown else ""
    return f"{_variable(concern, error['loc'])}: {message}{came}"
