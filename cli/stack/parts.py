"""The processes of the stack: their commands, their environment, and in which order they start and stop."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from cli.stack.folder import DataFolder
from core.hosts import join_host

# From the entry point inwards: nobody loses what it needs before it is stopped itself.
STOP_ORDER = ("api", "beat", "worker", "serving", "valkey")


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stack."""

    name: str
    command: tuple[str, ...]
    grace_s: float  # between SIGTERM and SIGKILL
    inherited: tuple[int, ...] = ()  # file descriptors that it takes over


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of one run listen, on a loopback address."""

    valkey_port: int
    serving_port: int
    api_port: int
    password: str = field(repr=False)
    host: str = "127.0.0.1"

    @property
    def broker_url(self) -> str:
        return f"redis://:{self.password}@{join_host(self.host, self.valkey_port)}/0"

    @property
    def api_url(self) -> str:
        return f"http://{join_host(self.host, self.api_port)}"

    @property
    def serving(self) -> str:
        """As gRPC names it."""
        return join_host(self.host, self.serving_port)


def list_parts(folder: DataFolder, addresses: Addresses, valkey: Sequence[str], api_fd: int) -> dict[str, Part]:
    """All parts, in the order in which they start.

    Args:
        folder: where models.config lies.
        addresses: the ports.
        valkey: command that starts Valkey.
        api_fd: file descriptor of the socket on which the API answers.
    """
    python = sys.executable
    serving = (
        *(python, "-m", "serving.embedded"),
        f"--port={addresses.serving_port}",
        f"--bind_address={addresses.host}",
        f"--model_config_file={folder.models_config}",
        "--allow_version_labels_for_unavailable_models=true",  # `stable` is set before the models have loaded
    )
    parts = (
        Part("valkey", tuple(valkey), 10.0),
        Part("serving", serving, 5.0),
        Part("worker", (python, "-m", "worker"), 20.0),
        Part("beat", (python, "-m", "worker", "beat"), 5.0),
        Part("api", (python, "-m", "api", f"--fd={api_fd}"), 22.0, (api_fd,)),
    )
    return {part.name: part for part in parts}
