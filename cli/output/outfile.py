"""Where results are written, and in which format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cli.options import ResultFormat
from cli.output.exit_codes import CliError, ExitCode

_BY_EXTENSION = {
    ".csv": ResultFormat.CSV,
    ".jsonl": ResultFormat.JSONL,
    ".ndjson": ResultFormat.JSONL,
    ".parquet": ResultFormat.PARQUET,
    ".pq": ResultFormat.PARQUET,
}


@dataclass(frozen=True, slots=True)
class OutFile:
    """A file to write and its format."""

    path: Path
    format: ResultFormat


def choose_out(out: Path | None, wanted: ResultFormat | None) -> OutFile:
    """--format decides, else the extension, else CSV; the default file is results.<format> in the current folder.

    Raises:
        CliError: the extension says nothing and no format is given, or the folder is not there or cannot be written.
    """
    if out is None:
        chosen = wanted or ResultFormat.CSV
        return OutFile(_writable(Path(f"results.{chosen.value}")), chosen)
    found = wanted or _BY_EXTENSION.get(out.suffix.lower())
    if found is None:
        raise CliError(
            f"the format of {out} is not clear: expected one of {', '.join(_BY_EXTENSION)} as its extension",
            ExitCode.USAGE,
            "Or give --format csv, jsonl or parquet.",
        )
    if out.is_dir():
        raise CliError(f"{out} is a folder", ExitCode.USAGE, f"Name a file, for example {out / f'results.{found.value}'}.")
    if not out.parent.is_dir():
        raise CliError(f"the folder {out.parent} does not exist", ExitCode.USAGE, f"Make it first: mkdir -p {out.parent}")
    return OutFile(_writable(out), found)


def _writable(out: Path) -> Path:
    """The file, if its folder can be written. This is found out before a job runs, not after it."""
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise CliError(
            f"the folder {out.parent.resolve()} cannot be written, so {out.name} cannot be made there",
            ExitCode.USAGE,
            "Name a file in another folder with --out FILE.",
        )
    return out
