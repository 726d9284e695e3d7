"""Versions looked at before anybody depends on them: on the server that has them, else on a private one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.models.operator import Operator, find_operator
from cli.output.exit_codes import CliError, ExitCode
from cli.output.spinner import StackStatus

if TYPE_CHECKING:
    from core.db.versions import NewEvent
    from serving.client import PredictClient
    from serving.repository import ModelVersion


def verify_version(
    name: str, number: int, *, record: bool, by: str | None, serving: Sequence[str] | None, data_dir: Path | None
) -> dict[str, Any]:
    """Verify a version and put it on record; returns what was found.

    Raises:
        DermqError: what is wrong with it.
        CliError: nothing here can run it.
    """
    from core.db.versions import ModelAction, NewEvent
    from serving.lifecycle.verification import record_golden, verify_served

    operator = find_operator(data_dir, by)
    version = operator.repository.version(name, number)
    version.check_files()
    with _noted(operator, NewEvent(operator.actor, ModelAction.VERIFY, name, number)), StackStatus() as status:
        status.progress(f"asking {name} version {number}")
        with _server_of(operator, version, serving) as client:
            if record:
                record_golden(client, version)
            verified = verify_served(client, version)
    return {
        "model": name,
        "version": number,
        "path": str(version.path),
        "spec": verified.spec.model_dump(mode="json"),
        "golden": {"images": verified.golden_images, "largest_difference": verified.largest_difference},
    }


def add_version(name: str, path: Path, *, by: str | None, data_dir: Path | None) -> dict[str, Any]:
    """Copy a SavedModel in as the next version, proved and with a golden batch; raises as `verify_version`."""
    from core.db.versions import ModelAction, NewEvent
    from serving.lifecycle.golden import Golden
    from serving.lifecycle.proving import private_server
    from serving.lifecycle.verification import record_golden, verify_served

    operator = find_operator(data_dir, by)
    _require_prover()
    added = NewEvent(operator.actor, ModelAction.ADD, name, detail=f"from {path}")
    with operator.folder.faults_named("written"), _noted(operator, added) as found, StackStatus() as status:
        status.progress(f"copying {path}")
        with operator.repository.new_version(name, path) as staged:
            found["version"] = staged.number
            status.progress(f"asking {name} version {staged.number}")
            with private_server(staged) as client:
                if Golden.load(staged) is None:
                    record_golden(client, staged)
                verify_served(client, staged)
    path = staged.path.with_name(str(staged.number))
    return {"model": name, "version": staged.number, "path": str(path), "next": _next_commands(operator, name, staged.number)}


def _next_commands(operator: Operator, name: str, number: int) -> list[str]:
    """What brings a version that was added to users. A stack that starts serves a model that it sees for the first time."""
    promote = f"dermq promote {name} {number}"
    if _find_address(operator, None) is not None:
        return [promote]
    return ["dermq up"] if number == 1 else ["dermq up", promote]


@contextmanager
def _server_of(operator: Operator, version: ModelVersion, serving: Sequence[str] | None) -> Iterator[PredictClient]:
    from serving.client import PredictClient
    from serving.lifecycle.proving import private_server

    address = _find_address(operator, serving)
    if address is not None:
        with PredictClient(address, operator.settings.serving.timeout_s, security=operator.settings.serving) as client:
            if _is_available(client, version):
                yield client
                return
    _require_prover()
    with private_server(version) as client:
        yield client


def _find_address(operator: Operator, serving: Sequence[str] | None) -> str | None:
    try:
        return operator.addresses(serving)[0]
    except CliError:
        return None


def _is_available(client: PredictClient, version: ModelVersion) -> bool:
    from core.errors import ModelNotFoundError, ServingUnavailableError

    try:
        return any(each.state == "AVAILABLE" for each in client.model_status(version.model, version=version.number))
    except (ModelNotFoundError, ServingUnavailableError):
        return False


def _require_prover() -> None:
    from serving.lifecycle.proving import can_prove

    if not can_prove():
        raise CliError(
            "a version that no server has loaded can only be run where TensorFlow is installed",
            ExitCode.USAGE,
            'Install it (uv tool install "dermq[serving]"), or do this on a machine that has it.',
        )


@contextmanager
def _noted(operator: Operator, event: NewEvent) -> Iterator[dict[str, Any]]:
    """Put it on record, with what the block finds out about it; a refusal with its reason."""
    from dataclasses import replace

    from core.db.versions import ModelOutcome
    from core.errors import DermqError

    operator.folder.create()  # the record is made at the end: what prevents it is said now
    found: dict[str, Any] = {}
    try:
        yield found
    except DermqError as error:
        _record(operator, replace(event, **found, outcome=ModelOutcome.REFUSED, detail=str(error)))
        raise
    _record(operator, replace(event, **found))


def _record(operator: Operator, event: NewEvent) -> None:
    from core.clock import SystemClock
    from core.db.engine import transaction
    from core.db.versions import record_event

    with operator.ledger(migrate=True) as engine, transaction(engine) as session:
        record_event(session, event, SystemClock().now())
