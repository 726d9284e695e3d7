"""From a submission to a committed job and its wake-up, once per idempotency key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.intake.names import clean_filename
from api.models import require_served
from api.resources import Resources
from api.schemas import JobParameters
from core.access.callers import Caller
from core.canary import CANARY, is_canary
from core.db.engine import reading, transaction
from core.db.jobs import NewJob, NewUpload, create_job, find_job_by_key, get_job
from core.db.models import Job
from core.errors import ConflictError, JobError, QuotaExceededError, ServingUnavailableError, StorageUnavailableError
from core.messages import prepare_message
from core.telemetry.logs import get_logger
from core.telemetry.tracing import current_traceparent

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Submission:
    """Everything a request says."""

    by: Caller
    parameters: JobParameters
    source: dict[str, Any]
    source_name: str
    upload: NewUpload | None = None
    interactive: bool = False
    idempotency_key: str | None = None


def submit(resources: Resources, new: NewJob) -> tuple[Job, bool]:
    """Commit a job and wake a worker, or find the job that the same request has made already.

    Returns:
        The job, and whether it is new.

    Raises:
        ConflictError: another request used the idempotency key.
        ModelNotFoundError: Serving has no such model, label or version.
        QuotaExceededError: the tenant has no room for it.
        DatabaseUnavailableError: whether the job was committed is unknown; the upload is kept in case it was.
    """
    try:
        _require_served(resources, new)
    except JobError:
        _discard_upload(resources, new.upload)
        raise
    try:
        job, is_new = _find_or_create(resources, choose_label(resources, new))
    except (ConflictError, QuotaExceededError):
        _discard_upload(resources, new.upload)
        raise
    if is_new:
        resources.publisher.send_soon(job.id, [prepare_message(job.id, interactive=job.interactive)])
    else:
        _discard_upload(resources, new.upload)
    return job, is_new


def _require_served(resources: Resources, new: NewJob) -> None:
    """A request that was sent before finds its job, whatever is served by now."""
    if not is_repeated(resources, new):
        require_served(resources, new.model, version=new.version, label=new.label)


def is_repeated(resources: Resources, new: NewJob) -> bool:
    """Whether a job has this one's idempotency key."""
    if new.idempotency_key is None:
        return False
    with reading(resources.engine) as session:
        return find_job_by_key(session, new.tenant_id, new.idempotency_key) is not None


def choose_label(resources: Resources, new: NewJob) -> NewJob:
    """A job of the canary's share goes to the label `canary`, if the model has it."""
    if is_canary(new, resources.settings.api.canary_percent) and _has_canary(resources, new.model):
        return replace(new, label=CANARY)
    return new


def _find_or_create(resources: Resources, new: NewJob) -> tuple[Job, bool]:
    try:
        with transaction(resources.engine) as session:
            known = _find(session, new)
            if known is not None:
                return known, False
            return create_job(session, _with_shared_upload(session, new), resources.clock.now()), True
    except IntegrityError:  # the same key, at the same time
        with transaction(resources.engine) as session:
            known = _find(session, new)
            if known is None:
                raise
            return known, False


def _has_canary(resources: Resources, model: str) -> bool:
    """Whether the model has the label; asked for the chosen jobs only. With Serving away a job goes the usual way."""
    try:
        resources.client.metadata(model, label=CANARY)
    except (JobError, ServingUnavailableError) as error:
        _log.info("no_canary", model=model, reason=str(error))
        return False
    return True


def _with_shared_upload(session: Session, new: NewJob) -> NewJob:
    """A job on the images of another job reads what that one was given; an upload stays until the last job that reads it goes.

    Raises:
        NotFoundError: no such job of this tenant.
    """
    if new.source["kind"] != "job":
        return new
    other = get_job(session, new.tenant_id, UUID(new.source["id"]), lock=True)
    column = {key: value for key, value in new.source.items() if key == "path_column"}
    return replace(new, source=other.source | column, upload_id=other.upload_id)


def _find(session: Session, new: NewJob) -> Job | None:
    if new.idempotency_key is None:
        return None
    job = find_job_by_key(session, new.tenant_id, new.idempotency_key)
    if job is not None and job.request_hash != new.request_hash:
        raise ConflictError(
            f"Idempotency-Key {new.idempotency_key!r} belongs to job {job.id}, which was submitted with another body or other "
            "parameters: use a new key for a new job"
        )
    return job


def make_job(resources: Resources, submission: Submission) -> NewJob:
    """The job that a request asks for; nothing is stored yet."""
    asked = submission.parameters
    new = NewJob(
        tenant_id=submission.by.tenant_id,
        by=submission.by,
        name=clean_filename(asked.name or submission.source_name),
        source=submission.source | ({"path_column": asked.path_column} if asked.path_column else {}),
        model=asked.model or resources.settings.serving.default_model,
        label=asked.label,
        version=asked.version,
        interactive=submission.interactive,
        priority=asked.priority.rank,
        error_budget=asked.error_budget,
        idempotency_key=submission.idempotency_key,
        upload=submission.upload,
        traceparent=current_traceparent(),
        tags=tuple(sorted(set(asked.tags))),
        retention_s=timedelta(days=_retention_days(resources, asked)).total_seconds(),
    )
    return replace(new, request_hash=_hash_request(new)) if new.idempotency_key else new


def _retention_days(resources: Resources, asked: JobParameters) -> float:
    most = resources.settings.worker.retention_days
    return most if asked.retention_days is None else min(most, asked.retention_days)


def _hash_request(new: NewJob) -> str:
    """SHA-256 over what the request means: the bytes (by their own hash) or the source, and all parameters."""
    what: Any = new.upload.sha256 if new.upload else new.source
    if new.upload and "path_column" in new.source:
        what = [what, new.source["path_column"]]
    meaning = [what, new.name, new.model, new.label, new.version, new.interactive, new.priority, new.error_budget]
    if new.tags:
        meaning.append(new.tags)
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def _discard_upload(resources: Resources, upload: NewUpload | None) -> None:
    if upload is None:
        return
    try:
        resources.storage.delete(upload.key)
    except StorageUnavailableError:  # the answer is right all the same; the bytes are in the way of nobody
        _log.warning("a duplicate upload stays in the storage", key=upload.key, exc_info=True)
