"""`dermq`: the entry point. Each command lives in a file of its own under cli/commands and imports what it needs."""

from __future__ import annotations

import os
import sys

import typer

from cli.commands.audit import audit
from cli.commands.compare import compare
from cli.commands.demo import demo
from cli.commands.doctor import doctor
from cli.commands.down import down
from cli.commands.evaluate_job import evaluate_job
from cli.commands.jobs import cancel, delete, list_jobs, retry, status
from cli.commands.keys import keys
from cli.commands.logs import logs
from cli.commands.models import models
from cli.commands.promote import promote
from cli.commands.purge import purge
from cli.commands.results import errors, results
from cli.commands.retire import retire
from cli.commands.rollback import rollback
from cli.commands.screen import screen
from cli.commands.submit import submit
from cli.commands.tenants import tenants
from cli.commands.training import FORWARDED, calibrate, data, evaluate, export, train
from cli.commands.up import up
from cli.commands.watch import watch
from cli.commands.watch_folder import watch_folder
from cli.commands.webhooks import webhooks
from cli.helpstyle import PlainTyper
from cli.output.exit_codes import EXIT_CODES_HELP, CliError, ExitCode, absent_package, as_cli_error
from cli.output.terminal import print_error, write_plainly
from core.errors import DermqError
from core.proxies import keep_loopback_direct
from dermq.errors import DermqError as ClientError

_SCREENING = "Screen images"
_JOBS = "Jobs"
_MODELS = "Model versions"
_TRAINING = "Training"
_ACCESS = "Tenants and keys"
_MACHINE = "This machine"

app = PlainTyper(
    name="dermq",
    help="Screens archives of dermatoscopic images: class probabilities and a risk score for every image, "
    "or a precise reason why not. Research use only, not a diagnosis.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("demo", rich_help_panel=_SCREENING)(demo)
app.command("screen", rich_help_panel=_SCREENING)(screen)
app.command("submit", rich_help_panel=_SCREENING)(submit)
app.command("watch-folder", rich_help_panel=_SCREENING)(watch_folder)
app.command("compare", rich_help_panel=_SCREENING)(compare)
app.command("jobs", rich_help_panel=_JOBS)(list_jobs)
app.command("status", rich_help_panel=_JOBS)(status)
app.command("watch", rich_help_panel=_JOBS)(watch)
app.command("results", rich_help_panel=_JOBS)(results)
app.command("errors", rich_help_panel=_JOBS)(errors)
app.command("evaluate-job", rich_help_panel=_JOBS)(evaluate_job)
app.command("cancel", rich_help_panel=_JOBS)(cancel)
app.command("retry", rich_help_panel=_JOBS)(retry)
app.command("delete", rich_help_panel=_JOBS)(delete)
app.add_typer(models, name="models", rich_help_panel=_MODELS)
app.command("promote", rich_help_panel=_MODELS)(promote)
app.command("rollback", rich_help_panel=_MODELS)(rollback)
app.command("retire", rich_help_panel=_MODELS)(retire)
for _verb in (train, evaluate, calibrate, export):
    app.command(_verb.__name__, rich_help_panel=_TRAINING, context_settings=FORWARDED, add_help_option=False)(_verb)
app.add_typer(data, name="data", rich_help_panel=_TRAINING)
app.add_typer(tenants, name="tenants", rich_help_panel=_ACCESS)
app.add_typer(keys, name="keys", rich_help_panel=_ACCESS)
app.add_typer(webhooks, name="webhooks", rich_help_panel=_ACCESS)
app.command("purge", rich_help_panel=_ACCESS)(purge)
app.command("audit", rich_help_panel=_ACCESS)(audit)
app.command("up", rich_help_panel=_MACHINE)(up)
app.command("down", rich_help_panel=_MACHINE)(down)
app.command("logs", rich_help_panel=_MACHINE)(logs)
app.command("doctor", rich_help_panel=_MACHINE)(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dermq {version('dermq')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    del version  # its callback has done the work


def main() -> None:
    """Run the command line and leave with one of cli.output.exit_codes.ExitCode."""
    write_plainly()
    keep_loopback_direct(os.environ)
    try:
        app()
    except CliError as error:
        print_error(error)
        sys.exit(error.code)
    except DermqError as error:
        failure = as_cli_error(error)
        print_error(failure)
        sys.exit(failure.code)
    except ClientError as error:
        from cli.http.problems import client_error

        told = client_error(error)
        print_error(told)
        sys.exit(told.code)
    except ModuleNotFoundError as error:
        print_error(absent_package(error))
        sys.exit(ExitCode.USAGE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print_error(CliError(f"{where}{error.strerror or error}", ExitCode.JOB_FAILED))
        sys.exit(ExitCode.JOB_FAILED)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
