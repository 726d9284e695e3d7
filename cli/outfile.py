"""Where results are written, and in which format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cli.exits import CliError, ExitCode
from cli.options import ResultFormat

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
        CliError: the extension says nothing and no format is given, or the folder is not there.
    """
    if out is None:
        chosen = wanted or ResultFormat.CSV
        return OutFile(Path(f"results.{chosen.value}"), chosen)
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
    return OutFile(out, found)
