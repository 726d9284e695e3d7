"""What the user names on the command line: paths, patterns, addresses, or `-` for standard input."""

from __future__ import annotations

import glob
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cli.http.submission import Source, read_source
from cli.output.exit_codes import CliError, ExitCode
from dermq.options import is_address

STDIN = "-"
_PATTERN = re.compile(r"[*?[]")
_ARCHIVE = re.compile(r"\.(zip|7z|tar|tgz|tbz2?|txz|tzst|tar\.(gz|bz2|xz|zst)|csv|tsv)\Z", re.IGNORECASE)


@contextmanager
def reading_sources(named: Sequence[str]) -> Iterator[Source]:
    """What is to be screened; standard input is kept in a temporary file for as long as the context lasts.

    Args:
        named: one or more paths or patterns (`*`, `**`, `?`, `[…]`; a shell has usually put names in their place), or one
            address, or `-`.

    Raises:
        CliError: nothing readable is there, or the inputs do not go together.
    """
    if list(named) == [STDIN]:
        with _kept_input() as path:
            yield Source(str(path), is_sent=True)
        return
    _refuse_mixtures(named)
    found = [path for name in named for path in _expand(name)]
    sources = [read_source(each) for each in found]
    if len(sources) == 1:
        yield sources[0]
        return
    archives = [each for each in found if _ARCHIVE.search(each)]
    if archives:
        raise CliError(
            f"got {len(found)} inputs, among them {archives[0]}: several inputs are images and folders of images",
            ExitCode.USAGE,
            "One job takes one archive or table: name it alone, in a command of its own.",
        )
    yield Source(", ".join(found), several=tuple(Path(each) for each in found))


def _expand(name: str) -> list[str]:
    if is_address(name) or not _PATTERN.search(name) or Path(name).exists():
        return [name]
    found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - the name may be absolute, or have "**" in it
    if not found:
        raise CliError(f"no file fits the pattern {name}", ExitCode.USAGE, "Check it, from this folder: ls")
    return found


def _refuse_mixtures(named: Sequence[str]) -> None:
    if len(named) == 1:
        return
    for name in named:
        if name == STDIN or is_address(name):
            what = "standard input" if name == STDIN else f"the address {name}"
            raise CliError(f"got {len(named)} inputs, among them {what}", ExitCode.USAGE, "Name it alone.")


@contextmanager
def _kept_input() -> Iterator[Path]:
    """Standard input as a file, so that it can be sent again after a lost connection."""
    if sys.stdin.isatty():
        raise CliError(
            "`-` reads images from standard input, which is a terminal",
            ExitCode.USAGE,
            "For example: cat a.zip | dermq screen -",
        )
    with tempfile.TemporaryDirectory(prefix="dermq-") as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        if not path.stat().st_size:
            raise CliError("standard input is empty", ExitCode.USAGE, "It must be an archive, an image or a table.")
        yield path
