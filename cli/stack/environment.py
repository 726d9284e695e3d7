"""The environment: read for the stack itself, made for its parts."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.output.exit_codes import CliError, ExitCode
from cli.stack.folder import DataFolder
from cli.stack.parts import Addresses
from cli.stack.state import STACK_VARIABLE

if TYPE_CHECKING:
    from core.settings import Settings


def read_settings() -> Settings:
    """All settings from DERMQ_* variables: wrong ones are reported before anything is started.

    Raises:
        CliError: a value that its setting does not take; the message names the variable.
    """
    from pydantic import ValidationError

    import core.settings

    try:
        return core.settings.Settings()
    except ValidationError as error:
        prefix = getattr(core.settings, error.title).model_config["env_prefix"]
        faults = [f"{_name_variable(prefix, each['loc'])}: {each['msg']}" for each in error.errors()]
        raise CliError(f"invalid settings in the environment: {'; '.join(faults)}", ExitCode.USAGE) from error


def _name_variable(prefix: str, place: tuple[int | str, ...]) -> str:
    """DERMQ_API_ and ("port",) → DERMQ_API_PORT; DERMQ_WORKER where settings contradict one another."""
    return f"{prefix}{'_'.join(map(str, place)).upper()}".rstrip("_")


def make_environment(
    folder: DataFolder, addresses: Addresses, *, stack_id: str, source_roots: Sequence[Path], models: Sequence[str]
) -> dict[str, str]:
    """The environment of every part: this one's, with the stack's own DERMQ_ settings on top."""
    package_root = str(Path(__file__).resolve().parents[2])
    python_path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "DERMQ_DATA_DIR": str(folder.root),
        "DERMQ_BROKER_URL": addresses.broker_url,
        "DERMQ_SERVING_ADDRESS": f"127.0.0.1:{addresses.serving_port}",
        "DERMQ_API_HOST": "127.0.0.1",
        "DERMQ_API_PORT": str(addresses.api_port),
        "DERMQ_API_SOURCE_ROOTS": json.dumps([str(path) for path in source_roots]),
        "DERMQ_API_MODELS": json.dumps(list(models)),
        STACK_VARIABLE: stack_id,
        # The parts run in the data folder; nothing that lies there must be imported by accident.
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": f"{package_root}{os.pathsep}{python_path}" if python_path else package_root,
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
    }
