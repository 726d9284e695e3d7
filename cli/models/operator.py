"""What an operator of model versions works with: repository, configuration, model servers and ledger, found on this machine.

The stack of this machine is found through its data folder. DERMQ_MODELS_*, DERMQ_SERVING_ADDRESS and DERMQ_DATABASE_URL (or
--serving) point elsewhere: at the container's repository and configuration, and at each replica by its own address.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.ledger import open_ledger, settings_of, this_user
from cli.output.exit_codes import CliError, ExitCode
from core.plainlists import check_grpc_address

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cli.stack.folder import DataFolder
    from core.settings import Settings
    from serving.lifecycle.rollout import Rollout
    from serving.repository import ModelRepository

ModelArgument = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]
VersionArgument = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="The version.")]
ServingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--serving",
        metavar="HOST:PORT",
        help="A model server; repeat it for each replica. Default: DERMQ_SERVING_ADDRESS, or the stack on this machine.",
        rich_help_panel="Where to run",
    ),
]
ByOption = Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who does this, for the record. Default: user@host.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", metavar="S", min=1, help="Seconds that loading may take.")]


@dataclass(frozen=True)
class Operator:
    """Settings and places; nothing is opened yet."""

    folder: DataFolder
    settings: Settings
    repository: ModelRepository
    config_path: Path
    actor: str

    @contextmanager
    def ledger(self, *, migrate: bool = False) -> Iterator[Engine]:
        """The database, for as long as the context lasts.

        Args:
            migrate: bring it up to date first, or make it.

        Raises:
            CliError: it has not been made yet.
        """
        with open_ledger(self.settings, migrate=migrate) as engine:
            yield engine

    def addresses(self, given: Sequence[str] | None) -> list[str]:
        """The model servers: those named, else the settings' one, else that of the stack on this machine.

        Raises:
            CliError: there is none.
        """
        if given:
            return [_checked(address) for address in given]
        if os.environ.get("DERMQ_SERVING_ADDRESS"):
            return [self.settings.serving.address]
        from cli.stack.lock import find_holder
        from cli.stack.state import load_state
        from core.hosts import join_host

        with self.folder.faults_named("read"):
            state = load_state(self.folder.state) if find_holder(self.folder.lock) else None
        if state is None or "serving" not in state.ports:
            raise CliError(
                f"no model server: none was named, and no stack runs on {self.folder.root}",
                ExitCode.UNREACHABLE,
                "Start one with `dermq up`, or name one with --serving HOST:PORT (or DERMQ_SERVING_ADDRESS).",
            )
        return [join_host(state.host, state.ports["serving"])]


def _checked(address: str) -> str:
    try:
        return check_grpc_address(address)
    except ValueError as error:
        raise CliError(f"--serving: {error}", ExitCode.USAGE) from error


def find_operator(data_dir: Path | None, by: str | None = None) -> Operator:
    """Read the settings and find the places."""
    from cli.stack.folder import DataFolder
    from cli.stack.models_config import find_repository
    from serving.repository import ModelRepository

    folder = DataFolder.at(data_dir)
    settings = settings_of(data_dir)
    models = settings.models
    repository = ModelRepository(models.dir, served_root=models.served_dir) if models.dir else find_repository(folder)
    return Operator(folder, settings, repository, models.config or folder.models_config, by or this_user())


@contextmanager
def open_rollout(
    data_dir: Path | None, serving: Sequence[str] | None, by: str | None, timeout_s: float, tell: Callable[[str], None]
) -> Iterator[Rollout]:
    """Everything that a promotion needs, opened."""
    from serving.lifecycle.fleet import Fleet
    from serving.lifecycle.rollout import Rollout

    operator = find_operator(data_dir, by)
    with (
        Fleet(operator.addresses(serving), operator.settings.serving.timeout_s, operator.settings.serving) as fleet,
        operator.ledger() as engine,
    ):
        yield Rollout(operator.repository, operator.config_path, fleet, engine, operator.actor, timeout_s=timeout_s, tell=tell)
