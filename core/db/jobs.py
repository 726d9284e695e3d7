"""Jobs as their owners see them: create, find, list, count. Life-cycle changes are in lifecycle.py."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.access.callers import Caller
from core.db.access.audit import Action, record
from core.db.access.quotas import check_quotas
from core.db.models import GONE_TENANT_ID, Job, JobState, Tally, Upload
from core.db.review.tables import JobTag
from core.db.review.tags import read_tags, replace_tags
from core.errors import NotFoundError
from core.ids import new_id


@dataclass(frozen=True, slots=True)
class NewUpload:
    """A stored archive that a job is created for."""

    id: uuid.UUID
    key: str
    filename: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a submission says."""

    tenant_id: uuid.UUID
    name: str
    source: dict[str, Any]  # {"kind": "upload", "key", "filename"} | {"kind": "path", "path"} | {"kind": "s3", "uri"}
    model: str
    label: str | None = None
    version: int | None = None
    interactive: bool = False
    priority: int = 1
    error_budget: float | None = None  # share of failed items, 0 to 1
    idempotency_key: str | None = None
    request_hash: str | None = None
    upload: NewUpload | None = None
    upload_id: uuid.UUID | None = None  # of an upload that another job brought
    retention_s: float | None = None  # how long the job is kept after its end; None: for ever
    tags: tuple[str, ...] = ()  # the owner's words
    traceparent: str | None = None  # of the request that submits it (core.telemetry.tracing)
    by: Caller | None = None  # who submits it: held to the tenant's quotas, and recorded in the audit
    id: uuid.UUID = field(default_factory=new_id)


def create_job(session: Session, new: NewJob, now: datetime) -> Job:
    """Insert a queued job, and its upload, in the caller's transaction.

    The job is due at once: should the wake-up message be lost, or the broker be away, the sweeper starts it.

    Raises:
        QuotaExceededError: its tenant has no room for it; asked only where somebody is named who submits it.
        sqlalchemy.exc.IntegrityError: another request used the same idempotency key at the same time.
    """
    retention_s = new.retention_s if new.by is None else _admit(session, new, new.by, now)
    if new.upload is not None:
        session.add(
            Upload(
                id=new.upload.id,
                tenant_id=new.tenant_id,
                key=new.upload.key,
                filename=new.upload.filename,
                size=new.upload.size,
                sha256=new.upload.sha256,
                created_at=now,
            )
        )
        session.flush()
    job = Job(
        id=new.id,
        tenant_id=new.tenant_id,
        upload_id=new.upload.id if new.upload else new.upload_id,
        idempotency_key=new.idempotency_key,
        request_hash=new.request_hash,
        name=new.name,
        source=new.source,
        traceparent=new.traceparent,
        interactive=new.interactive,
        priority=new.priority,
        error_budget=new.error_budget,
        model=new.model,
        requested_label=new.label,
        requested_version=new.version,
        state=JobState.QUEUED,
        created_at=now,
        due_at=now,
        retention_s=retention_s,
    )
    session.add(job)
    session.flush()
    if new.tags:
        replace_tags(session, job.id, new.tags)
    return job


def _admit(session: Session, new: NewJob, by: Caller, now: datetime) -> float | None:
    """Hold a job to its tenant's quotas, and record who submits it. Returns how long it is kept after its end, in seconds."""
    tenant = check_quotas(session, new.tenant_id, new.upload.size if new.upload else 0, lock=True)
    record(session, by, Action.JOB_SUBMIT, new.id, now, tenant_id=new.tenant_id, source=new.source["kind"])
    if tenant.retention_days is None:
        return new.retention_s
    most = tenant.retention_days * 86_400
    return most if new.retention_s is None else min(new.retention_s, most)


def get_job(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, *, lock: bool = False) -> Job:
    """One job of a tenant; with `lock` it is neither changed nor deleted by others before the transaction ends.

    Raises:
        NotFoundError: no such job, or another tenant's (the two look alike on purpose).
    """
    query = select(Job).where(Job.id == job_id, Job.tenant_id == tenant_id)
    job = session.scalar(query.with_for_update() if lock else query)
    if job is None:
        raise NotFoundError(f"no job {job_id}; list yours with GET /v1/jobs or `dermq jobs`")
    return job


def find_job_by_key(session: Session, tenant_id: uuid.UUID, idempotency_key: str) -> Job | None:
    """The job that was created under this idempotency key, if any."""
    return session.scalar(select(Job).where(Job.tenant_id == tenant_id, Job.idempotency_key == idempotency_key))


def list_jobs(
    session: Session,
    tenant_id: uuid.UUID,
    *,
    limit: int,
    before: uuid.UUID | None = None,
    states: Sequence[JobState] = (),
    name: str = "",
    tag: str = "",
) -> Sequence[Job]:
    """Newest first; `before` is the last id of the previous page (ids sort by time).

    `name` is a text that the job's name has in it, whatever its case; it is looked for in all names of the tenant.
    """
    query = select(Job).where(Job.tenant_id == tenant_id).order_by(Job.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Job.id < before)
    if states:
        query = query.where(Job.state.in_(states))
    if name:
        query = query.where(Job.name.icontains(name, autoescape=True))
    if tag:
        query = query.where(Job.id.in_(select(JobTag.job_id).where(JobTag.tag == tag)))
    return session.scalars(query).all()


class Tallies(NamedTuple):
    """Items of a job by what they have in common, most first."""

    labels: dict[str, int]
    errors: dict[str, int]  # by code
    notes: dict[str, int]  # by code
    tags: Sequence[str] = ()  # the owner's words, by name


def read_tallies(session: Session, job_id: uuid.UUID) -> Tallies:
    """Items per label, error code and note. Costs one small index range, whatever the job's size."""
    return read_all_tallies(session, [job_id])[job_id]


def read_all_tallies(session: Session, job_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Tallies]:
    """The same of several jobs, in one statement for tallies and one for tags."""
    rows = session.execute(
        select(Tally.job_id, Tally.kind, Tally.name, Tally.items)
        .where(Tally.job_id.in_(job_ids), Tally.items > 0)
        .order_by(Tally.items.desc(), Tally.name)
    ).all()
    tags = read_tags(session, job_ids)
    found = {job_id: Tallies({}, {}, {}, tags.get(job_id, ())) for job_id in job_ids}
    for row in rows:
        tallies = found[row.job_id]
        {"label": tallies.labels, "error": tallies.errors, "note": tallies.notes}[row.kind][row.name] = row.items
    return found


@dataclass(frozen=True, slots=True)
class Progress:
    """The least that tells whether a job has changed, and whether it has ended."""

    state: JobState
    revision: int


def read_progress(session: Session, job_id: uuid.UUID) -> Progress | None:
    """One index look-up; None if the job is gone."""
    row = session.execute(select(Job.state, Job.revision).where(Job.id == job_id, Job.tenant_id != GONE_TENANT_ID)).first()
    return None if row is None else Progress(JobState(row.state), row.revision)
