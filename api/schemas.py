"""What goes over HTTP, for OpenAPI and for checks. The job object is shared with the command line."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from core.db.decisions import Verdict
from core.db.models import JobState
from core.notes import ItemNote

DISCLAIMER = "Research use only, not a diagnosis."

# Words and names in parameters: PostgreSQL's text takes no NUL, and no control character is ever meant.
Tag = Annotated[
    str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f,]*[^\s\x00-\x1f\x7f,][^\x00-\x1f\x7f,]*$")
]
MOST_TAGS = 16


def _split_tags(value: Any) -> Any:
    """Words between commas, as one field of a form has them, or a list of such; empty ones are left out."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        return value
    return [word for each in given for part in each.split(",") if (word := part.strip(" "))]


Word = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
MAX_VERSION = 2**63 - 1  # TensorFlow Serving's versions are int64
MAX_ITEM = 2**31 - 1

_JOB_EXAMPLE: dict[str, Any] = {
    "id": "019a9f3e-7c11-7d2b-9a44-0c5b8f6e2d10",
    "object": "job",
    "name": "lesions.zip",
    "state": "running",
    "revision": 7,
    "timestamps": {
        "queued": "2026-11-20T12:00:00Z",
        "preparing": "2026-11-20T12:00:00.2Z",
        "running": "2026-11-20T12:00:01Z",
        "cancelling": None,
        "succeeded": None,
        "failed": None,
        "cancelled": None,
    },
    "counts": {"total": 10015, "succeeded": 5120, "failed": 3, "skipped": 1, "remaining": 4892},
    "labels": {"nv": 3420, "mel": 611},
    "errors": {"truncated": 2, "not_an_image": 1},
    "item_notes": {"low_resolution": 12, "greyscale": 3},
    "notes": [{"code": "trailing_bytes", "count": 512, "text": "512 bytes follow the end of the archive; they were not read."}],
    "images_per_s": 412.5,
    "eta_s": 11.9,
    "model": "starter",
    "version": 1,
    "requested": {"label": "stable", "version": None},
    "classes": ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"],
    "threshold": 0.35,
    "waiting_for": None,
    "waiting_since": None,
    "waiting_until": None,
    "error": None,
    "disclaimer": DISCLAIMER,
    "links": {
        name: f"http://127.0.0.1:8080/v1/jobs/019a9f3e-7c11-7d2b-9a44-0c5b8f6e2d10{path}"
        for name, path in {
            "self": "",
            "results": "/results",
            "results_csv": "/results.csv",
            "results_jsonl": "/results.jsonl",
            "results_parquet": "/results.parquet",
            "errors": "/errors",
            "events": "/events",
            "cancel": "/cancel",
            "retry": "/retry",
        }.items()
    },
}


class Priority(StrEnum):
    """How large a share of the workers a job may take beside others."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """As the ledger has it: 0, 1 or 2."""
        return list(Priority).index(self)


class JobParameters(BaseModel):
    """What a submission may say besides its images: in the query, or in the form or JSON that carries them."""

    model_config = ConfigDict(extra="forbid")

    model: Word | None = Field(None, description="Served model; the server's default if not given.", examples=["starter"])
    label: Word | None = Field(None, description="Whatever version bears this label; `stable` by default.", examples=["stable"])
    version: int | None = Field(None, ge=1, le=MAX_VERSION, description="This very version; not together with `label`.")
    name: str | None = Field(None, max_length=4096, description="File name to show; else the upload's own.")
    priority: Priority = Priority.NORMAL
    error_budget: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="Share of failed items beyond which the job fails; none by default."
    )
    retention_days: float | None = Field(
        None,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="How long the job is kept after its end, at most; the server's and the tenant's limits hold, too.",
    )
    tags: Annotated[list[Tag], BeforeValidator(_split_tags)] = Field(
        [],
        max_length=MOST_TAGS,
        description="Words by which its owner finds it, repeated or between commas.",
        examples=[["ward 7", "second visit"]],
    )
    path_column: Word | None = Field(
        None,
        description="Where the source is a table: its column that names the images; by default found by its name or values.",
        examples=["image_id"],
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> JobParameters:
        if self.label is not None and self.version is not None:
            raise ValueError(f"expected a label or a version, got both: {self.label!r} and {self.version}")
        return self


class SourceRequest(JobParameters):
    """Images that the server itself can reach."""

    source: Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")] = Field(
        description="s3://bucket/prefix (gs://, az://), https:// or a path that is allowed, job:ID for another job's images.",
        examples=["s3://clinic/2026-11/"],
    )


class RetryRequest(BaseModel):
    """Which failed items run again, and on which version: the one the job is pinned to, if neither is given."""

    model_config = ConfigDict(extra="forbid")

    codes: list[Word] | None = Field(None, max_length=100, description="Only items with these codes; all if not given.")
    version: int | None = Field(None, ge=1, le=MAX_VERSION, description="Run them on this version instead.")
    label: Word | None = Field(None, description="Run them on the version that bears this label instead.")
    error_budget: float | None = Field(
        None, ge=0, le=1, description="A new share of failed items at which the job fails; the old one if not given."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> RetryRequest:
        if self.label is not None and self.version is not None:
            raise ValueError(f"expected a label or a version, got both: {self.label!r} and {self.version}")
        return self


class Timestamps(BaseModel):
    """When each state was entered last."""

    queued: datetime
    preparing: datetime | None
    running: datetime | None
    cancelling: datetime | None
    succeeded: datetime | None
    failed: datetime | None
    cancelled: datetime | None


class Counts(BaseModel):
    """Items by outcome. `total` and `remaining` are unknown until the archive is listed."""

    total: int | None
    succeeded: int
    failed: int
    skipped: int
    remaining: int | None


class Requested(BaseModel):
    """Which version the submission asked for; both null: the default."""

    label: str | None
    version: int | None


class JobFailure(BaseModel):
    """Why nothing of a job could be classified."""

    code: str
    message: str


class JobNote(BaseModel):
    """What a user should know of the archive as a whole: nothing of it failed, but something was passed over or guessed."""

    code: str = Field(examples=["trailing_bytes"])
    count: int = Field(description="How many bytes, names or entries it is about.")
    text: str = Field(description="One sentence for people.")


class JobObject(BaseModel):
    """A job as its owner sees it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_JOB_EXAMPLE]})

    id: UUID
    object: Literal["job"] = "job"
    name: str
    state: JobState
    revision: int
    timestamps: Timestamps
    counts: Counts
    labels: dict[str, int]
    errors: dict[str, int]
    item_notes: dict[str, int] = Field(description="Classified items by the notes they have. An item may have several.")
    notes: list[JobNote] = Field(description="What is to know of the archive as a whole.")
    images_per_s: float | None
    eta_s: float | None
    model: str
    version: int | None
    requested: Requested
    classes: list[str] | None
    threshold: float | None
    waiting_for: str | None = Field(description="What is unavailable: its name, a colon, a sentence.")
    waiting_since: datetime | None
    waiting_until: datetime | None = Field(description="When it is tried again, where that is known.")
    error: JobFailure | None
    disclaimer: str = DISCLAIMER
    queue_s: float | None = Field(
        None,
        description="Only in the answer to a submission, and only beyond a day: seconds of work that wait for the workers, all "
        "tenants' jobs and this one, at the pace of the newest chunks.",
    )
    tags: list[str] = Field([], description="Words by which its owner finds it: PUT /v1/jobs/{job_id}/tags.")
    links: dict[str, str]


class TagsRequest(BaseModel):
    """Words by which a job is found."""

    model_config = ConfigDict(extra="forbid")

    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS)]


class JobList(BaseModel):
    """A page of jobs, newest first."""

    object: Literal["list"] = "list"
    data: list[JobObject]
    next: str | None


class ResultObject(BaseModel):
    """One item's row. Probabilities are keys of their own: p_<class>."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "item": 17,
                    "name": "2026-11/ISIC_0024310.jpg",
                    "status": "succeeded",
                    "label": "mel",
                    "score": 0.71,
                    "risk": 0.78,
                    "p_akiec": 0.02,
                    "p_bcc": 0.05,
                    "p_mel": 0.71,
                    "p_nv": 0.22,
                    "flag": True,
                    "error_code": None,
                    "error": None,
                    "width": 600,
                    "height": 450,
                    "model": "starter",
                    "version": 1,
                    "novelty": 0.41,
                    "uncertainty": None,
                    "notes": ["low_resolution"],
                }
            ]
        },
    )

    item: int = Field(description="Number of the item in its archive, from 0.")
    name: str = Field(description="As in the archive; bytes that are no UTF-8 as \\xNN.")
    status: Literal["succeeded", "failed"] = Field(description="Whether the item has probabilities.")
    label: str | None = Field(description="The class with the greatest probability.")
    score: float | None = Field(description="Probability of `label`, 0 to 1.")
    risk: float | None = Field(description="Summed probability of the malignant classes, 0 to 1.")
    flag: bool | None = Field(description="Whether `risk` reaches the model's operating threshold.")
    error_code: str | None = Field(description="Of a failed item: its stable error code.")
    error: str | None = Field(description="Of a failed item: a sentence that says what was found.")
    width: int | None = Field(description="Width of the image in pixels, where it could be read.")
    height: int | None = Field(description="Height of the image in pixels, where it could be read.")
    model: str = Field(description="Name of the model.")
    version: int | None = Field(description="Version of the model that saw the item.")
    novelty: float | None = Field(
        description="How unlike the training pictures the image is; above the model's threshold, which is 1 as a rule, the row "
        "has the note `unlike_training`. Null where the model does not measure it."
    )
    uncertainty: float | None = Field(
        description="How unsure the model is, 0 to 1: the entropy of its probabilities over the greatest possible. Only where "
        "no class of the model is malignant, so that there is no risk to sort by."
    )
    notes: list[ItemNote] = Field(description="Doubts about a classified image. Its probabilities are there all the same.")
    metadata: dict[str, str] | None = Field(
        None, description="Where the images come from a table: the other cells of the item's row, by column. Else absent."
    )
    duplicate_group: int | None = Field(None, description="First item of those that look like it. Null: none does.")
    truth: str | None = Field(None, description="The true class, where it is known. Absent where a job has no truth.")
    decision: Verdict | None = Field(
        None,
        description="What a reader says of the class; null: nothing. These keys are absent where a job has no decisions.",
    )
    decision_label: str | None = Field(None, description="The class that the reader sees; of an agreement, the model's.")
    decision_flag: bool | None = Field(None, description="Whether the reader wants the picture to be looked at again.")
    decision_note: str | None = Field(None, description="The reader's words.")
    decision_by: str | None = Field(None, description="Who has decided.")
    decision_at: datetime | None = Field(None, description="When.")
    first_decision: Verdict | None = Field(None, description="Of the first reader; these six are absent without second reads.")
    first_label: str | None = Field(None, description="The class that the first reader sees.")
    first_by: str | None = Field(None, description="The first reader.")
    second_decision: Verdict | None = Field(None, description="Of the second reader, who did not see the first one's.")
    second_label: str | None = Field(None, description="The class that the second reader sees.")
    second_by: str | None = Field(None, description="The second reader.")


class ResultList(BaseModel):
    """A page of rows."""

    object: Literal["list"] = "list"
    data: list[ResultObject]
    next: str | None
    count: int | None = Field(None, description="Matching rows in all; only where `count=true` asks for it.")


class ItemFailure(BaseModel):
    """A failed item: its place in the archive, and why."""

    item: int
    name: str
    code: str
    message: str


class ItemFailureList(BaseModel):
    """A page of failed items."""

    object: Literal["list"] = "list"
    data: list[ItemFailure]
    next: str | None


class Classification(ResultObject):
    """One image's answer."""

    object: Literal["classification"] = "classification"
    job: UUID
    links: dict[str, str]


class Problem(BaseModel):
    """RFC 9457. `code` is stable."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["/v1/problems/not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no job 019a9f3e-…; list yours with GET /v1/jobs or `dermq jobs`"])
    instance: str = Field(examples=["/v1/jobs/019a9f3e-7c11-7d2b-9a44-0c5b8f6e2d10"])
    code: str = Field(examples=["not_found"])
    request_id: str | None


class Check(BaseModel):
    """One part's state."""

    status: Literal["ok", "error"]
    error: str | None = None


class Readiness(BaseModel):
    """Whether jobs can be taken. `degraded`: they are taken, and wait for Serving."""

    status: Literal["ok", "degraded", "error"]
    checks: dict[str, Check]
