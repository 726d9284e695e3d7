"""`dermq train`, `evaluate`, `calibrate`, `export`, `data report`: the training package's commands, with its options.

Each hands its arguments on as they come, so that an option is declared once, in the module that reads it.
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from cli.helpstyle import PlainTyper
from cli.output.exit_codes import CliError, ExitCode

# The whole command line after the verb is the training module's, --help too.
FORWARDED = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
MODULES = {verb: f"training.{verb}" for verb in ("train", "evaluate", "calibrate", "export")}
MODULES["data report"] = "training.datareport"

data = PlainTyper(
    no_args_is_help=True,
    help="Look at a data set before training on it.",
)


def train(context: typer.Context) -> None:
    """Train an experiment on a data set; `--list` shows the experiments and the published figures."""
    _forward("train", context.args)


def evaluate(context: typer.Context) -> None:
    """Measure a run on its test part, with intervals, groups and, on demand, an HTML report."""
    _forward("evaluate", context.args)


def calibrate(context: typer.Context) -> None:
    """Fit temperature and operating thresholds of a run on its validation part."""
    _forward("calibrate", context.args)


def export(context: typer.Context) -> None:
    """Write a run as the next version of a model that TensorFlow Serving can load."""
    _forward("export", context.args)


@data.command("report", context_settings=FORWARDED, add_help_option=False)
def data_report(context: typer.Context) -> None:
    """Write a page on a data set: classes and their imbalance, pictures, copies, groups, and what splits let slip."""
    _forward("data report", context.args)


def _forward(verb: str, arguments: list[str]) -> None:
    try:
        module = import_module(MODULES[verb])
        status = module.main(arguments, prog=f"dermq {verb}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("core", "serving", "training"):
            raise  # a fault of ours, not a missing package
        raise CliError(
            f"dermq {verb} needs the package {error.name!r}, which is not installed here.",
            ExitCode.USAGE,
            "Install the training extra: in a checkout `make setup-dev`, else `uv tool install 'dermq[training]'`.",
        ) from error
    if status:
        sys.exit(status)
