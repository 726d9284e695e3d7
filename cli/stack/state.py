"""state.json: what runs, written whenever that changes, so that the next start finds what a killed one left behind."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cli.stack.folder import read_json, write_private
from cli.stack.processes import Identity

STACK_VARIABLE = "DERMQ_STACK_ID"  # every process of a run carries the run's id in its environment


@dataclass(slots=True)
class StackState:
    """One run of the stack."""

    stack_id: str
    supervisor: Identity
    url: str = ""
    host: str = "127.0.0.1"  # that the parts listen on
    ports: dict[str, int] = field(default_factory=dict)
    source_roots: list[str] = field(default_factory=list)
    broker_url: str = ""  # with its password: the file is private
    processes: dict[str, Identity] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it down, in one step."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")


def load_state(path: Path) -> StackState | None:
    """The state of the present or last run; None if there is none that can be read."""
    value = read_json(path)
    try:
        return StackState(
            stack_id=str(value["stack_id"]),
            supervisor=Identity(**value["supervisor"]),
            url=str(value.get("url", "")),
            host=str(value.get("host", "127.0.0.1")),
            ports=dict(value.get("ports", {})),
            source_roots=list(value.get("source_roots", [])),
            broker_url=str(value.get("broker_url", "")),
            processes={name: Identity(**identity) for name, identity in value.get("processes", {}).items()},
        )
    except (KeyError, TypeError, AttributeError):
        return None
