"""One style of help for all commands, and the options that they share."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from cli.main import app
from tests.support.servers import ROOT
from tests.unit.cli.laid_out import Answer, LaidOutServer

FORWARDED = {"train", "evaluate", "calibrate", "export", "report"}  # the help of the training module
SHARED = {"--json", "--server", "--api-key", "--data-dir"}


def commands(group: TyperGroup, *above: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if name not in FORWARDED:
            yield (*above, name)
        if isinstance(command, TyperGroup):
            yield from commands(command, *above, name)


COMMANDS = [(), *commands(typer.main.get_group(app))]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_names_values_and_no_python_types(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"}).output
    assert "--help" in shown
    assert re.findall(r"<[a-z ]+(?:\[\w+\])?>", shown) == []


@pytest.mark.parametrize(
    "name", ["jobs", "status", "watch", "results", "errors", "cancel", "retry", "delete", "screen", "submit"]
)
def test_commands_share_their_options(name: str) -> None:
    command = typer.main.get_group(app).commands[name]
    assert isinstance(command, TyperCommand)
    assert {option for each in command.params for option in each.opts} >= SHARED


def test_values_are_words_or_choices() -> None:
    lines = CliRunner().invoke(app, ["results", "--help"], env={"COLUMNS": "200"}).output
    for expected in (
        "--format +csv\\|jsonl\\|parquet",
        "--min-risk +X \\[0<=x<=1\\]",
        "--json +JSON on",
        "--sort +-risk\\|risk\\|-novelty\\|novelty\\|-uncertainty\\|uncertainty\\|item",
    ):
        assert re.search(expected, lines), expected


def run_and_list_loaded(arguments: list[str], among: set[str]) -> tuple[str, str]:
    """What a command prints, and which of these modules it has loaded at its end."""
    # what measures the coverage of this process is loaded before
    code = (
        f"import sys\nbefore = set(sys.modules)\nfrom cli.main import main\nsys.argv = {['dermq', *arguments]!r}\n"
        f"try:\n    main()\nfinally:\n    print(sorted({among!r} & set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout, done.stderr


def test_help_loads_nothing_heavy() -> None:
    """All of it: the help that is printed, not the import of its module alone."""
    heavy = {"httpx2", "sqlalchemy", "pydantic", "numpy", "celery", "fastapi", "grpc", "tensorflow", "pyarrow", "PIL"}
    heavy |= {"socket", "ssl", "asyncio", "http", "email", "multiprocessing", "xml", "yaml", "rich.progress"}
    shown, loaded = run_and_list_loaded(["--help"], heavy)
    assert loaded == "[]\n"  # and nothing else is told there
    assert "Usage:" in shown


@pytest.mark.parametrize("verb", ["status", "jobs"])
def test_a_question_to_a_server_loads_what_it_needs_only(server: LaidOutServer, job: dict[str, Any], verb: str) -> None:
    """A request and a table. Typer itself loads pydantic for the values of options."""
    server.lay("GET", f"/v1/jobs/{job['id']}", Answer(job))
    server.lay("GET", f"/v1/jobs/{job['id']}/errors", Answer({"data": [], "next": None}))
    server.lay("GET", "/v1/jobs", Answer({"data": [job], "next": None}))
    heavy = {"sqlalchemy", "pydantic_settings", "numpy", "celery", "fastapi", "grpc", "tensorflow", "pyarrow", "PIL"}
    heavy |= {
        "redis",
        "asyncio",
        "multiprocessing",
        "xml",
        "yaml",
        "rich.progress",
        "honcho",
        "dermq.parts",
        "dermq.aiotransport",
    }
    arguments = [verb, job["id"]] if verb == "status" else [verb]
    shown, loaded = run_and_list_loaded([*arguments, "--server", server.url], heavy)
    assert loaded == "[]\n"
    assert "succeeded" in shown
