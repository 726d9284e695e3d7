"""A retry on another version: what that version is, asked of Serving before the ledger is touched."""

from __future__ import annotations

from uuid import UUID

from api.resources import Resources
from api.schemas import RetryRequest
from core.db.engine import reading
from core.db.jobs import get_job
from core.db.lifecycle import Repin
from core.errors import ConflictError, JobError, ModelNotFoundError, NotFoundError
from core.imaging import preprocessing_hash


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
    expected = preprocessing_hash(spec.input_height, spec.input_width, spec.resize)
    if spec.preprocessing_hash != expected:  # what prepare checks; a job that goes on is not prepared again
        raise ConflictError(
            f"job {job_id} cannot go on with {model} version {described.version}: expected preprocessing {expected} (this "
            f"DermQ's decoder), got {spec.preprocessing_hash!r} in its spec; choose another version"
        )
    return Repin(described.version, spec.model_dump(mode="json"))
