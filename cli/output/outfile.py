"""Where results are written, and in which format."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from cli.options import ResultFormat
from cli.output.exit_codes import CliError, ExitCode
from cli.output.replacing import STDOUT

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
    excel: bool = False

    @property
    def is_stdout(self) -> bool:
        """Whether `-` was given."""
        return self.path == STDOUT

    @property
    def parameters(self) -> dict[str, str | int | float]:
        """What the server is asked for beside the format."""
        return {"bom": "true"} if self.excel else {}

    def __str__(self) -> str:
        return "standard output" if self.is_stdout else str(self.path)


def choose_out(out: Path | None, wanted: ResultFormat | None, *, excel: bool = False) -> OutFile:
    """--format decides, else the extension, else CSV; the default file is results.<format> in the current folder.

    Args:
        out: `-` is stdout.
        wanted: the format that was asked for.
        excel: CSV with a byte order mark.

    Raises:
        CliError: the extension says nothing and no format is given, the folder is not there or cannot be written, or the format
            is not for Excel or not for a terminal.
    """
    chosen = _choose(out, wanted)
    if excel and chosen.format is not ResultFormat.CSV:
        raise CliError(f"--excel is for CSV, and {chosen} is to be {chosen.format.value}", ExitCode.USAGE, "Leave one out.")
    if chosen.is_stdout and chosen.format is ResultFormat.PARQUET and sys.stdout.isatty():
        raise CliError("Parquet is not for a terminal", ExitCode.USAGE, "Give --out results.parquet.")
    return replace(chosen, excel=excel)


def refuse_two_on_stdout(out: OutFile, *, json: bool) -> None:
    """The job as JSON and the results cannot both be what a program reads from stdout."""
    if json and out.is_stdout:
        raise CliError("--json and --out - both write to standard output", ExitCode.USAGE, "Give --out FILE, or no --json.")


def _choose(out: Path | None, wanted: ResultFormat | None) -> OutFile:
    if out == STDOUT:
        return OutFile(out, wanted or ResultFormat.CSV)
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
