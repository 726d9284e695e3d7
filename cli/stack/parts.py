"""The processes of the stack: their commands, their environment, and in which order they start and stop."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.stack.folder import DataFolder
from cli.stack.state import STACK_VARIABLE

# From the door inwards: nobody loses what it needs before it is stopped itself.
STOP_ORDER = ("api", "beat", "worker", "serving", "valkey")


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stack."""

    name: str
    command: tuple[str, ...]
    grace_s: float  # between SIGTERM and SIGKILL


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of one run listen, on loopback."""

    valkey_port: int
    serving_port: int
    api_port: int
    password: str = field(repr=False)

    @property
    def broker_url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.valkey_port}/0"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"


def list_parts(folder: DataFolder, addresses: Addresses, valkey: Sequence[str]) -> dict[str, Part]:
    """All parts, in the order in which they start.

    Args:
        folder: where models.config lies.
        addresses: the ports.
        valkey: command that starts Valkey.
    """
    python = sys.executable
    serving = (
        *(python, "-m", "serving.embedded"),
        f"--port={addresses.serving_port}",
        f"--model_config_file={folder.models_config}",
        "--allow_version_labels_for_unavailable_models=true",  # `stable` is set before the models have loaded
    )
    parts = (
        Part("valkey", tuple(valkey), 10.0),
        Part("serving", serving, 5.0),
        Part("worker", (python, "-m", "worker"), 20.0),
        Part("beat", (python, "-m", "worker", "beat"), 5.0),
        Part("api", (python, "-m", "api"), 22.0),
    )
    return {part.name: part for part in parts}


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
