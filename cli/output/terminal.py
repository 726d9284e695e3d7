"""The two streams of a command: stdout carries results for programs and people, stderr everything else."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from cli.output.exit_codes import CliError


_PLAIN = {"…": "...", "→": "->", "×": "x", "–": "-", "’": "'"}


def write_plainly() -> None:
    """Let both streams take every text: what their encoding lacks is written as its likeness, else as an escape.

    A file's name may hold bytes that are no UTF-8, and a locale may know ASCII only.
    """
    codecs.register_error("dermq", _likeness)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="dermq")


def _likeness(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(each) or each.encode("ascii", "backslashreplace").decode() for each in lacking), error.end


def open_out() -> Console:
    """A console on stdout. Names are printed as they are: no markup, no emoji codes, no highlighting."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


@cache
def open_err() -> Console:
    """The console on stderr, for progress, notes and errors: one, so that lines appear above a live bar and not in it."""
    from rich.console import Console

    return Console(stderr=True, markup=False, emoji=False, highlight=False)


@contextmanager
def silenced(quiet: bool) -> Iterator[None]:
    """While it lasts, and if `quiet`, nothing is written to stderr through `open_err`. An error is shown afterwards."""
    if not quiet:
        yield
        return
    console = open_err()
    console.quiet = True
    try:
        yield
    finally:
        console.quiet = False


def print_json(value: Any) -> None:
    """One JSON document on stdout, indented for a terminal and on one line for a pipe."""
    sys.stdout.write(json_text(value, indent=2 if sys.stdout.isatty() else None) + "\n")
    sys.stdout.flush()


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON that stdout can take: ASCII alone where it is not UTF-8, for an escape of Python's is none of JSON's."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(value, ensure_ascii=not is_utf8, indent=indent)


def print_error(error: CliError) -> None:
    """The error in one paragraph, the hint on the next line."""
    console = open_err()
    console.print("Error:", style="bold red", end=" ")
    console.print(str(error), soft_wrap=True)
    if error.hint:
        console.print(error.hint, style="dim", soft_wrap=True)


def is_interactive() -> bool:
    """Whether stderr is a terminal on which a live bar can be drawn."""
    console = open_err()
    return console.is_terminal and not console.is_dumb_terminal and not console.quiet
