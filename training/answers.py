"""What a training command prints: text for people, or with --json one JSON document on stdout and nothing else there."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Declare --json."""
    parser.add_argument("--json", action="store_true", help="JSON on stdout, and nothing else there")


@contextmanager
def working(*, as_json: bool) -> Iterator[None]:
    """The work itself: with --json, what it prints on its way goes to stderr."""
    if not as_json:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def answer(text: str, value: Mapping[str, Any] | Sequence[Any], *, as_json: bool) -> None:
    """Print what came of it."""
    print(json.dumps(value, ensure_ascii=False) if as_json else text)
