"""The Compose files as data, for tests that need no Docker: aliases resolved, variables left as they are written."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.servers import ROOT

BASE = ROOT / "docker-compose.yml"
OVERRIDES = sorted((ROOT / "deploy").glob("compose.*.yml"))
FILES = [BASE, *OVERRIDES]

# ${NAME}, ${NAME:-default}, ${NAME:?what is wrong}; `$$` is a dollar sign.
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z0-9_]+)(?:(?P<mark>:[-?])(?P<rest>[^}]*))?\}", re.DOTALL)


class _Loader(yaml.SafeLoader):
    """Knows Compose's tags, which say how files are merged."""


for _tag in ("!reset", "!override"):
    _Loader.add_constructor(
        _tag, lambda loader, node: None if node.value in ([], "null", "") else loader.construct_object(node)
    )


@cache
def load(path: Path) -> dict[str, Any]:
    """One file."""
    loaded = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader
    assert isinstance(loaded, dict)
    return loaded


def services(path: Path) -> dict[str, dict[str, Any]]:
    """The services that a file defines or changes."""
    return load(path).get("services", {})


def complete_services() -> dict[str, dict[str, Any]]:
    """Every service where it is defined, with an image: those of the base, and those that only an override has."""
    found = dict(services(BASE))
    for path in OVERRIDES:
        found |= {name: service for name, service in services(path).items() if name not in found}
    return found


def variables(path: Path) -> list[re.Match[str]]:
    """Every variable of a file, as often as it is used."""
    return list(VARIABLE.finditer(path.read_text()))
