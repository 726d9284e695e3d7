"""Options that several commands share, declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from cli.apikey import read_key
from cli.completion import complete_job, complete_model
from cli.output.terminal import silenced
from cli.service import Target


class ResultFormat(StrEnum):
    """How results are written."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Sort(StrEnum):
    """Order of results."""

    RISK_DOWN = "-risk"
    RISK_UP = "risk"
    NOVELTY_DOWN = "-novelty"
    NOVELTY_UP = "novelty"
    UNCERTAINTY_DOWN = "-uncertainty"
    UNCERTAINTY_UP = "uncertainty"
    ITEM = "item"


_WHERE = "Where to run"
_MODEL = "Model"

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="DERMQ_SERVER",
        metavar="URL",
        help="A DermQ server. Default: the stack on this machine.",
        rich_help_panel=_WHERE,
    ),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="DERMQ_API_KEY",
        metavar="KEY",
        help="An API key, or @FILE that holds one. DERMQ_API_KEY_FILE may name the file.",
        rich_help_panel=_WHERE,
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="DERMQ_DATA_DIR",
        metavar="DIR",
        help="All state of the stack on this machine. Default: ~/.local/share/dermq.",
        rich_help_panel=_WHERE,
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing but results and errors: no progress, no summary, no notes.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout, and nothing else there.")]
TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="WORD", help="A word by which the job is found; repeat it for more."),
]
WhoseOption = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only this tenant's. Default: all.")]
JobArgument = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        help="The job's id, the first characters of it, or `last` for the newest job.",
        autocompletion=complete_job,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="M",
        help="Name of the model. Default: the server's.",
        rich_help_panel=_MODEL,
        autocompletion=complete_model,
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option("--label", metavar="L", help="Version by label. Default: stable.", rich_help_panel=_MODEL),
]
VersionOption = Annotated[
    int | None, typer.Option("--version", metavar="N", min=1, help="Version by number.", rich_help_panel=_MODEL)
]
PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH|ADDRESS|-",
        help="A folder, an archive, an image, a table of images; several images and folders, patterns too; an address "
        "(s3://, gs://, az://, https://); or - for standard input.",
    ),
]
PathColumnOption = Annotated[
    str | None,
    typer.Option(
        "--path-column",
        metavar="NAME",
        help="Where the source is a table (CSV): its column that names the images. Default: found by its name or its values.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Where to write the results; its extension is the format. `-`: standard output.",
    ),
]
ExcelOption = Annotated[bool, typer.Option("--excel", help="CSV for Excel: with a byte order mark, so that it reads UTF-8.")]
FormatOption = Annotated[ResultFormat | None, typer.Option("--format", help="Format of the results.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with 6 if any item has no result.")]


@dataclass(frozen=True, slots=True)
class Common:
    """What nearly every command is given: whether it prints JSON, whether little, and which server it asks."""

    json: bool
    target: Target
    quiet: bool = False


_COMMON: dict[str, tuple[Any, Any]] = {  # name: annotation, default
    "json": (JsonOption, False),
    "quiet": (QuietOption, False),
    "server": (ServerOption, None),
    "api_key": (ApiKeyOption, None),
    "data_dir": (DataDirOption, None),
}


def with_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --json, --quiet, --server, --api-key and --data-dir, which it gets as its parameter `common`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        json, quiet, server, key, data_dir = (given.pop(name) for name in _COMMON)
        with silenced(quiet):
            command(**given, common=Common(json, Target(server, read_key(key), data_dir), quiet))

    # Typer reads the signature and the annotations. Those of the command are resolved here, in its own module.
    hints = get_type_hints(command, include_extras=True)
    parameters = inspect.signature(command).parameters
    own = [each.replace(annotation=hints[name]) for name, each in parameters.items() if name != "common"]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _COMMON.items()
    ]
    del hints["common"], run.__wrapped__
    run.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
    run.__annotations__ = {**hints, **{name: annotation for name, (annotation, _) in _COMMON.items()}}
    return run
