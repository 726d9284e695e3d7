"""The ledger's tables. SQL is the truth, Redis carries wake-up messages: the chunk table is the outbox.

The same schema serves SQLite (embedded) and PostgreSQL; migrations/ holds its history.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.plaintext import plain_text

# The tenant `default`, also of a machine without keys; everything belongs to a tenant from the first migration on.
LOCAL_TENANT_ID = uuid.UUID("00000000-0000-7000-8000-000000000001")
# Owns the deleted jobs whose rows are not gone yet (core.db.maintenance.erasing). It has no keys, and is not listed.
GONE_TENANT_ID = uuid.UUID("00000000-0000-7000-8000-000000000002")


class JobState(StrEnum):
    """The life of a job. Each state has its timestamp; terminal states are never left, except by `retry`."""

    QUEUED = "queued"  # stored; nothing has looked at it yet
    PREPARING = "preparing"  # the archive is being listed and cut into chunks
    RUNNING = "running"  # chunks are being classified
    CANCELLING = "cancelling"  # no new batch starts; running ones come home
    SUCCEEDED = "succeeded"  # every item has a row; some may be failed items
    FAILED = "failed"  # nothing can be read through: unreadable archive, unknown model, exhausted error budget
    CANCELLED = "cancelled"  # stopped on request; the rows so far stay


TERMINAL_STATES = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class ChunkState(StrEnum):
    """The life of a chunk. `due_at` says when the sweeper must look at it again."""

    PENDING = "pending"  # waits for its turn; due_at set while it backs off
    PUBLISHED = "published"  # written by releases before 0020 alone: the same as pending, whatever its due_at
    RUNNING = "running"  # claimed; due_at: end of the lease
    DONE = "done"  # its rows are committed
    SPLIT = "split"  # replaced by smaller chunks after its workers died
    CANCELLED = "cancelled"  # its job was stopped before it ran


class ItemState(StrEnum):
    """The outcome of one item."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class UtcDateTime(TypeDecorator[datetime]):
    """Timezone-aware UTC instants on both databases; SQLite itself stores them naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a timezone-aware datetime, got {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class PlainText(TypeDecorator[str]):
    """Text that both databases can store, whatever an error message quotes of a file's name: see core.plaintext."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else plain_text(value)


class Base(DeclarativeBase):
    """Declarative base; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(),
        list[int]: JSON(),
        uuid.UUID: Uuid(),
        str: PlainText(),
    }


class Tenant(Base):
    """Who owns uploads and jobs. Quotas (core.db.access.tenants): None is no limit."""

    __tablename__ = "tenants"
    __table_args__ = (Index("ix_tenants_name", "name", unique=True),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime]
    suspended_at: Mapped[datetime | None]  # its keys do not work
    weight: Mapped[int] = mapped_column(Integer, default=1, server_default="1")  # its share of the workers beside others
    max_jobs: Mapped[int | None] = mapped_column(Integer)  # that have not ended
    max_items: Mapped[int | None] = mapped_column(BigInteger)  # without a result, of all its jobs
    max_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of stored uploads
    max_requests: Mapped[int | None] = mapped_column(Integer)  # to the API, in a minute
    retention_days: Mapped[float | None] = mapped_column(Float(53))  # how long its ended jobs are kept at most


class Upload(Base):
    """One stored archive."""

    __tablename__ = "uploads"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    key: Mapped[str]  # in the object storage
    filename: Mapped[str]  # as the client gave it; never used as a path
    size: Mapped[int] = mapped_column(BigInteger)  # bytes
    sha256: Mapped[str]
    created_at: Mapped[datetime]


class Job(Base):
    """One request to screen one archive with one model version."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("tenant_id", "idempotency_key"),
        Index("ix_jobs_tenant_id_id", "tenant_id", "id"),
        Index("ix_jobs_state_due_at", "state", "due_at"),
        Index("ix_jobs_state_turn_id", "state", "turn", "id"),
        Index("ix_jobs_expires_at", "expires_at"),
        Index("ix_jobs_model_state", "model", "state"),
        Index("ix_jobs_upload_id", "upload_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    upload_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("uploads.id"))
    idempotency_key: Mapped[str | None]
    request_hash: Mapped[str | None]  # SHA-256 over the request's meaning, compared under the same key
    name: Mapped[str]
    source: Mapped[dict[str, Any]] = mapped_column(JSON)  # {"kind": "upload"|"path"|"s3", …} as submitted
    metadata_columns: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))  # of its rows, once prepared
    traceparent: Mapped[str | None]  # W3C Trace Context of what its chunks belong to, where traces are on
    archive: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # ArchiveRef, once prepared
    interactive: Mapped[bool] = mapped_column(default=False)  # somebody is waiting: the fast queue
    priority: Mapped[int] = mapped_column(default=1)  # its share of the turns: 0 low (half), 1 normal, 2 high (twice)
    error_budget: Mapped[float | None]  # share of failed items at which the job fails; None: no limit

    model: Mapped[str]
    requested_label: Mapped[str | None]
    requested_version: Mapped[int | None] = mapped_column(BigInteger)
    version: Mapped[int | None] = mapped_column(BigInteger)  # pinned at prepare
    modelspec: Mapped[dict[str, Any] | None] = mapped_column(JSON)

    state: Mapped[str] = mapped_column(default=JobState.QUEUED)
    revision: Mapped[int] = mapped_column(BigInteger, default=1)  # grows with each visible change (server-sent events)
    waiting_for: Mapped[str | None]  # which dependency is unavailable, in words
    waiting_since: Mapped[datetime | None]
    waiting_until: Mapped[datetime | None]  # when it is tried again
    error_code: Mapped[str | None]
    error: Mapped[str | None]
    notes: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)  # core.archives.notes: [{"code", "count", "text"}, …]

    total: Mapped[int | None] = mapped_column(Integer)  # items; None until the archive is listed
    remaining: Mapped[int] = mapped_column(Integer, default=0)  # items without a final outcome
    succeeded: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)
    skipped: Mapped[int] = mapped_column(Integer, default=0)  # directories, __MACOSX, …
    chunk_count: Mapped[int] = mapped_column(Integer, default=0)  # chunks made so far; the next chunk's number

    attempt: Mapped[int] = mapped_column(Integer, default=0)  # fencing token of prepare
    crashes: Mapped[int] = mapped_column(Integer, default=0)  # prepare attempts whose worker died
    waits: Mapped[int] = mapped_column(Integer, default=0)  # times prepare was put back because a dependency was unavailable
    bugs: Mapped[int | None] = mapped_column(Integer)  # prepare attempts that an unforeseen error ended
    opened_attempt: Mapped[int | None] = mapped_column(Integer)  # the last attempt that began to open the archive
    owner: Mapped[str | None]  # process that prepares it
    reopening: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # a retry under way: core.db.retrying
    done_before: Mapped[int | None] = mapped_column(Integer)  # items that had their outcome when its present run began
    due_at: Mapped[datetime | None]  # when the sweeper must look at a queued or preparing job again
    turn: Mapped[float] = mapped_column(Float(53), default=0.0)  # its place in the turns, seconds: core.db.turns
    served_s: Mapped[float] = mapped_column(Float(53), default=0.0)  # time that processes worked for its present run

    created_at: Mapped[datetime]
    preparing_at: Mapped[datetime | None]
    running_at: Mapped[datetime | None]
    cancelling_at: Mapped[datetime | None]
    succeeded_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    progress_at: Mapped[datetime | None]  # last time an item got its outcome
    retention_s: Mapped[float | None] = mapped_column(Float(53))  # how long it is kept after its end; None: for ever
    expires_at: Mapped[datetime | None]  # when retention removes it: set when the job ends


class Chunk(Base):
    """Consecutive items of a job that one task classifies; or, after `retry`, some picked items of such a range."""

    __tablename__ = "chunks"
    __table_args__ = (
        Index("ix_chunks_state_due_at", "state", "due_at"),
        Index("ix_chunks_job_id_state_chunk_no", "job_id", "state", "chunk_no"),
        Index("ix_chunks_job_id_first_item", "job_id", "first_item"),
        Index("ix_chunks_finished_at", "finished_at"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    chunk_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    first_item: Mapped[int] = mapped_column(Integer)
    item_count: Mapped[int] = mapped_column(Integer)  # length of the range in the index
    picked: Mapped[list[int] | None] = mapped_column(JSON)  # only these item numbers of the range; None: all
    index_first_item: Mapped[int] = mapped_column(Integer)  # item number of the first line of the index slice
    index_offset: Mapped[int] = mapped_column(BigInteger)  # the slice of the job's index object, in bytes
    index_length: Mapped[int] = mapped_column(BigInteger)

    state: Mapped[str] = mapped_column(default=ChunkState.PENDING)
    attempt: Mapped[int] = mapped_column(Integer, default=0)  # fencing token, grows with each claim
    crashes: Mapped[int] = mapped_column(Integer, default=0)  # claims whose worker died
    waits: Mapped[int] = mapped_column(Integer, default=0)  # times it was put back because a dependency was unavailable
    bugs: Mapped[int | None] = mapped_column(Integer)  # runs that an unforeseen error ended
    publishes: Mapped[int] = mapped_column(Integer, default=0)  # of releases before 0020: wake-ups since it was last claimed
    owner: Mapped[str | None]
    due_at: Mapped[datetime | None]
    succeeded: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    waited_s: Mapped[float | None] = mapped_column(Float(53))  # of its last run: for answers of Serving
    starved_s: Mapped[float | None] = mapped_column(Float(53))  # of its last run: ready to run, with no core free


class Result(Base):
    """The outcome of one item. Idempotent on (job_id, item_no)."""

    __tablename__ = "results"
    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        Index("ix_results_job_id_risk_item_no", "job_id", "risk", "item_no"),
        Index("ix_results_job_id_label_risk_item_no", "job_id", "label", "risk", "item_no"),
        Index("ix_results_job_id_novelty_item_no", "job_id", "novelty", "item_no"),
        Index(
            "ix_results_job_id_uncertainty_item_no",
            *("job_id", "uncertainty", "item_no"),
            sqlite_where=text("uncertainty IS NOT NULL"),
            postgresql_where=text("uncertainty IS NOT NULL"),
        ),
        Index("ix_results_job_id_error_code_item_no", "job_id", "error_code", "item_no"),
        *(
            Index(name, *columns, sqlite_where=text("notes IS NOT NULL"), postgresql_where=text("notes IS NOT NULL"))
            for name, columns in (
                ("ix_results_noted_job_id_item_no", ("job_id", "item_no", "notes")),
                ("ix_results_noted_job_id_risk_item_no", ("job_id", "risk", "item_no", "notes")),
            )
        ),
        {"sqlite_with_rowid": False},
    )

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    item_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[bytes] = mapped_column(LargeBinary)  # exactly as in the archive: UTF-8 with surrogate escapes
    state: Mapped[str]
    label: Mapped[str | None]
    score: Mapped[float | None] = mapped_column(Float(53))  # probability of `label`
    risk: Mapped[float | None] = mapped_column(Float(53))  # summed probability of the malignant classes
    probabilities: Mapped[bytes | None] = mapped_column(LargeBinary)  # float32 little-endian [classes]
    flag: Mapped[bool | None]  # risk reaches the model's operating threshold
    error_code: Mapped[str | None]
    error: Mapped[str | None]
    width: Mapped[int | None] = mapped_column(Integer)  # pixels, upright
    height: Mapped[int | None] = mapped_column(Integer)
    version: Mapped[int | None] = mapped_column(BigInteger)  # the model version that saw it
    novelty: Mapped[float | None] = mapped_column(Float(53))  # how unlike the training pictures; NULL: not measured
    uncertainty: Mapped[float | None] = mapped_column(Float(53))  # how unsure the model is; only where there is no risk
    difference_hash: Mapped[int | None] = mapped_column(BigInteger)  # of the picture: core.imaging.differencehash
    notes: Mapped[str | None]  # codes of core.notes.ItemNote between commas; NULL: none
    # The other cells of the table's row, by column; `metadata` itself is SQLAlchemy's.
    row_metadata: Mapped[dict[str, str] | None] = mapped_column("metadata", JSON(none_as_null=True))


class Tally(Base):
    """Counts per label, error code and note, kept in the transactions that add and remove rows: a poll costs no scan."""

    __tablename__ = "tallies"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)  # "label", "error" or "note"
    name: Mapped[str] = mapped_column(primary_key=True)
    items: Mapped[int] = mapped_column(Integer)


class Decision(Base):
    """What a reader has decided about an item. `revision` grows with each change, and rows are never removed alone."""

    __tablename__ = "decisions"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    item_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    verdict: Mapped[str | None]  # core.db.decisions.Verdict
    label: Mapped[str | None]
    flagged: Mapped[bool]
    note: Mapped[str]
    reviewer: Mapped[str]
    decided_at: Mapped[datetime]


class Process(Base):
    """A worker process that says again and again that it runs. So that its silence tells a death from an outage."""

    __tablename__ = "processes"

    owner: Mapped[str] = mapped_column(primary_key=True)  # worker.ownership.owner_id
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class Tombstone(Base):
    """Objects of the storage whose rows are gone. Written with the deletion of the rows, removed when the objects are gone."""

    __tablename__ = "tombstones"
    __table_args__ = (Index("ix_tombstones_due_at", "due_at"),)

    prefix: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]  # when the sweep tries next
    tries: Mapped[int] = mapped_column(Integer)


class Stray(Base):
    """A prefix of the storage that no row knows of, as the slow scan met it (core.db.strays)."""

    __tablename__ = "strays"

    prefix: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime]  # first
    checked_at: Mapped[datetime]  # last


class ModelEvent(Base):
    """Audit: what somebody did, or was refused, to a version or label of a model. Only ever added to."""

    __tablename__ = "model_events"
    __table_args__ = (Index("ix_model_events_model_id", "model", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)  # counts up: the order of moves, whatever the clocks say
    at: Mapped[datetime]
    actor: Mapped[str]  # user@host, or what --by says
    action: Mapped[str]  # core.db.versions.ModelAction
    model: Mapped[str]
    version: Mapped[int | None] = mapped_column(BigInteger)
    label: Mapped[str | None]
    previous: Mapped[int | None] = mapped_column(BigInteger)  # the version that bore the label before
    outcome: Mapped[str]  # core.db.versions.ModelOutcome
    detail: Mapped[str]  # why it was refused, or what was found
