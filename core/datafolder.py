"""Where the data folder is. Without pydantic: each command of `dermq` asks for it, and most need no settings."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import ConfigurationError
from core.plaintext import is_utf8, plain_text


def default_data_dir() -> Path:
    """$XDG_DATA_HOME/dermq, or ~/.local/share/dermq (XDG Base Directory Specification), with `~` as it stands."""
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "dermq"


def resolve_data_dir(path: Path) -> Path:
    """The data folder as an absolute path, with `~` resolved. It need not exist yet.

    Raises:
        ConfigurationError: the path begins with `~`, and the user has no home folder; its links form a loop; or its name is no
            UTF-8, which neither the ledger's address nor the model servers' configuration can say.
    """
    try:
        found = path.expanduser().resolve()
    except RuntimeError as error:  # so pathlib says both
        reason = str(error).rstrip(".")
        raise ConfigurationError(
            f"the data folder {path} cannot be found: {reason}; set DERMQ_DATA_DIR to a folder that can be written"
        ) from error
    if not is_utf8(str(found)):
        raise ConfigurationError(
            f"the data folder {plain_text(str(found))} has bytes in its name that are no UTF-8; "
            "set DERMQ_DATA_DIR to another one"
        )
    return found
