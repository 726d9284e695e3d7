"""Models as Serving has them, asked for now."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.configuredmodels import configured_models
from api.modelschemas import ModelObject, Promotion, VersionObject
from api.resources import Resources
from api.schemas import RetryRequest
from core.db.engine import reading
from core.db.jobs import get_job
from core.db.retrying import Repin
from core.db.versions import last_promotions, promoted_models
from core.errors import ConflictError, JobError, ModelNotFoundError, NotFoundError, ServingUnavailableError
from core.telemetry.logs import get_logger
from serving.client import Described, VersionStatus
from serving.versions import preprocessing_fault

LABELS = ("stable", "canary")
_QUICK_S = 1.5  # somebody waits for the answer to a submission
_GONE = frozenset({"UNLOADING", "END"})

_log = get_logger(__name__)


def list_models(here: Resources) -> list[ModelObject]:
    """What Serving serves: the default model first, those of DERMQ_API_MODELS, and those that were promoted or configured.

    Serving has no call that lists its models. So their names come from the settings, the ledger's record of promotions, and
    `models.config` where this process can read it. Serving then says which of them it has.

    Raises:
        ServingUnavailableError: Serving does not answer.
    """
    stated = [here.settings.serving.default_model, *here.settings.api.models]
    shown = [describe_model(here, name) for name in dict.fromkeys(stated)]
    with reading(here.engine) as session:
        known = [*configured_models(here.settings), *promoted_models(session)]
    for name in sorted(set(known) - set(stated)):
        try:
            shown.append(describe_model(here, name, must_exist=True))
        except ModelNotFoundError:  # retired, or of another server
            continue
    return shown


def require_served(here: Resources, model: str, *, version: int | None = None, label: str | None = None) -> None:
    """Refuse a submission that Serving cannot classify. With Serving away it is taken: the job waits, and finds out.

    Raises:
        ModelNotFoundError: Serving has no such model, label or version.
    """
    try:
        if label is not None:
            here.client.metadata(model, label=label, quick_s=_QUICK_S)
            return
        states = here.client.model_status(model, version=version, quick_s=_QUICK_S)
    except ServingUnavailableError as error:
        _log.info("model_not_checked", model=model, reason=str(error))
        return
    except JobError as error:
        if isinstance(error, ModelNotFoundError):
            raise
        return  # it is there, and does not keep its contract: the job says so, with its code
    if all(each.state in _GONE for each in states):
        which = f"version {version} of model {model}" if version is not None else f"model {model}"
        raise ModelNotFoundError(f"{which} is not served any more; `dermq models` lists what is served")


def describe_model(here: Resources, name: str, *, must_exist: bool = False) -> ModelObject:
    """Versions, labels and spec of a model.

    Raises:
        ModelNotFoundError: Serving does not know it, and `must_exist`; else the answer says so.
        ServingUnavailableError: Serving does not answer.
    """
    try:
        versions = here.client.model_status(name)
    except ModelNotFoundError as error:
        if must_exist:
            raise
        return _model(here, name, [], {}, {}, error=str(error))
    described = {label: found for label in LABELS if (found := _find_label(here, name, label)) is not None}
    labels = {label: found.version for label, found in described.items()}
    promoted = _promotions(here, name)
    try:
        shown = described.get("stable") or here.client.describe(name)
    except JobError as error:
        return _model(here, name, versions, labels, promoted, error=str(error))
    return _model(here, name, versions, labels, promoted, shown=shown)


def _promotions(here: Resources, name: str) -> dict[int, Promotion]:
    with reading(here.engine) as session:
        return {
            version: Promotion(label=event.label or "", by=event.actor, at=event.at)
            for version, event in last_promotions(session, name).items()
        }


def _find_label(here: Resources, name: str, label: str) -> Described | None:
    try:
        return here.client.describe(name, label=label)
    except JobError:  # no such label, or a version that does not describe itself: `spec` and `error` tell of the latest
        return None


def _spec_of(here: Resources, name: str, version: VersionStatus, shown: Described | None) -> dict[str, Any] | None:
    """What one version says of itself; None where it is not loaded, or says nothing that can be read."""
    if version.state != "AVAILABLE":
        return None
    if shown is not None and shown.version == version.version:
        return shown.spec.model_dump(mode="json")
    try:
        return here.client.describe(name, version=version.version).spec.model_dump(mode="json")
    except JobError:  # unloaded just now, or of no contract: `error` of the model tells of the version that is shown
        return None


def _model(
    here: Resources,
    name: str,
    versions: list[VersionStatus],
    labels: dict[str, int],
    promoted: dict[int, Promotion],
    *,
    shown: Described | None = None,
    error: str | None = None,
) -> ModelObject:
    return ModelObject(
        name=name,
        default=name == here.settings.serving.default_model,
        versions=[
            VersionObject(
                version=each.version,
                state=each.state,
                labels=[label for label, version in labels.items() if version == each.version],
                error=None if each.error_code == "OK" else f"{each.error_code}: {each.error_message}",
                spec=_spec_of(here, name, each, shown),
                promoted=promoted.get(each.version),
            )
            for each in versions
        ],
        labels=labels,
        spec=shown.spec.model_dump(mode="json") if shown else None,
        error=error,
    )


def find_repin(here: Resources, tenant_id: UUID, job_id: UUID, wanted: RetryRequest) -> Repin | None:
    """The version that a retry names, with its spec; None if it names none.

    Raises:
        NotFoundError: no such job, or Serving has no such version.
        ConflictError: the version cannot be used, with the reason.
        ServingUnavailableError: Serving does not answer.
    """
    if wanted.version is None and wanted.label is None:
        return None
    with reading(here.engine) as session:
        model = get_job(session, tenant_id, job_id).model
    try:
        described = here.client.describe(model, version=wanted.version, label=wanted.label)
    except ModelNotFoundError as error:
        raise NotFoundError(str(error)) from error
    except JobError as error:
        raise ConflictError(f"job {job_id} cannot go on with another version of {model}: {error}") from error
    spec = described.spec
    fault = preprocessing_fault(spec)
    if fault is not None:  # what prepare checks; a job that goes on is not prepared again
        raise ConflictError(
            f"job {job_id} cannot go on with {model} version {described.version}: {fault}; choose another version"
        )
    return Repin(described.version, spec.model_dump(mode="json"))
