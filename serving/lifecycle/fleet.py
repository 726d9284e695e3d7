"""The model servers as one: every step of a rollout is done on all of them before the next one begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Self

from core.errors import ConflictError, ModelContractError, ModelNotFoundError, ServingUnavailableError
from core.modelspec import ModelSpec
from core.settings import ServingSettings
from serving.client import PredictClient, VersionStatus
from serving.lifecycle.configfile import ModelsConfig
from serving.lifecycle.verification import Verified, verify_served
from serving.repository import ModelVersion

_POLL_S = 0.05
# A failure must be seen for so long before it is believed: just after a reload a server may still tell of an earlier attempt.
_SETTLE_S = 1.0


class Fleet:
    """One client per server; several replicas behind one name must be named one by one."""

    def __init__(self, addresses: Sequence[str], timeout_s: float = 20.0, security: ServingSettings | None = None) -> None:
        """Nothing is opened here.

        Args:
            addresses: host:port each.
            timeout_s: deadline of one call.
            security: as PredictClient's.
        """
        self.clients = [PredictClient(address, timeout_s, security=security) for address in addresses]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as closing:
            for client in self.clients:
                closing.callback(client.close)

    def require_ready(self) -> None:
        """Raises ServingUnavailableError if a server does not answer."""
        for client in self.clients:
            if not client.ready():
                raise ServingUnavailableError(f"no model server answers at {client.address}; start it, or name another")

    def configure(self, config: ModelsConfig, timeout_s: float) -> None:
        """HandleReloadConfigRequest on all; raises JobError in the words of the one that refuses."""
        for client in self.clients:
            client.reload_config(config.message, timeout_s)

    def available(self, model: str) -> set[int]:
        """The versions of a model that are AVAILABLE everywhere."""
        found = [{each.version for each in _status(client, model) if each.state == "AVAILABLE"} for client in self.clients]
        return set.intersection(*found)

    def await_available(self, model: str, version: int, timeout_s: float) -> None:
        """Wait until a version is AVAILABLE everywhere.

        Raises:
            ModelContractError: a server cannot load it, in its words.
            ServingUnavailableError: not in time.
        """
        deadline = time.monotonic() + timeout_s
        for client in self.clients:
            _await_available(client, model, version, deadline, timeout_s)

    def await_gone(self, model: str, version: int, timeout_s: float) -> None:
        """Wait until a version is AVAILABLE nowhere; raises ServingUnavailableError if that is not so in time."""
        deadline = time.monotonic() + timeout_s
        _await(
            lambda: all(_find(_status(client, model), version) in {None, "END"} for client in self.clients),
            deadline,
            f"{model} version {version} to be unloaded within {timeout_s:g} s",
        )

    def verify(self, version: ModelVersion) -> Verified:
        """`verify_served` on each server."""
        return [verify_served(client, version) for client in self.clients][-1]

    def describe(self, model: str, version: int) -> ModelSpec:
        """What a loaded version says of itself; raises as `PredictClient.describe`."""
        return self.clients[0].describe(model, version=version).spec

    def check_label(self, model: str, label: str, version: int) -> None:
        """Raises ConflictError where a label means another version."""
        for client in self.clients:
            found = client.describe(model, label=label).version
            if found != version:
                raise ConflictError(f"{client.address}: label {label!r} of {model} means version {found}, expected {version}")


def _await_available(client: PredictClient, model: str, version: int, deadline: float, timeout_s: float) -> None:
    failed_since: float | None = None
    while True:
        status = next((each for each in _status(client, model) if each.version == version), None)
        if status is not None and status.state == "AVAILABLE":
            return
        now = time.monotonic()
        failed_since = (failed_since or now) if _has_failed(status) else None
        if status is not None and failed_since is not None and now - failed_since >= _SETTLE_S:
            raise ModelContractError(
                f"{client.address} cannot load {model} version {version}: {status.error_code}: {status.error_message}"
            )
        if now >= deadline:
            state = status.state if status else "unknown to it"
            raise ServingUnavailableError(
                f"{client.address}: expected {model} version {version} to be AVAILABLE within {timeout_s:g} s, it is {state}; "
                "give it longer with --timeout, or see the server's log"
            )
        time.sleep(_POLL_S)


def _has_failed(status: VersionStatus | None) -> bool:
    return status is not None and status.error_code != "OK"


def _status(client: PredictClient, model: str) -> list[VersionStatus]:
    try:
        return client.model_status(model)
    except ModelNotFoundError:
        return []


def _find(statuses: list[VersionStatus], version: int) -> str | None:
    return next((each.state for each in statuses if each.version == version), None)


def _await(condition: Callable[[], bool], deadline: float, what: str) -> None:
    while not condition():
        if time.monotonic() >= deadline:
            raise ServingUnavailableError(f"expected {what}, got none of it; see the server's log")
        time.sleep(_POLL_S)
