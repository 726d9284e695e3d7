"""The environment of Python processes that DermQ starts of itself."""

from __future__ import annotations

import os
from pathlib import Path


def python_environment() -> dict[str, str]:
    """This process's environment, in which a child finds DermQ's packages, and nothing of the folder that it runs in."""
    root, path = str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root, "PYTHONSAFEPATH": "1"}
