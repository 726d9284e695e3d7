"""From rows of the ledger to what is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from fastapi import Request

from api.results.classcolumns import class_keys, class_values
from api.schemas import Counts, ItemFailure, JobFailure, JobNote, JobObject, Requested, Timestamps
from core.db.decisions import AnyDecision, Decided
from core.db.jobs import Tallies
from core.db.models import Job, JobState
from core.db.results import ResultRow
from core.precision import as_shown, shortest_floats
from core.settings import ApiSettings

LOOKALIKE = r"\\x[0-9a-f]{2}"  # what display_name writes for an odd byte
_LOOKALIKE = re.compile(rb"\\(?=x[0-9a-f]{2})")
SHORTEST_RUN_S = 0.1  # what is done in less says nothing about a rate
DECISION_KEYS = ("decision", "decision_label", "decision_flag", "decision_note", "decision_by", "decision_at")
READ_KEYS = ("first_decision", "first_label", "first_by", "second_decision", "second_label", "second_by")
_LINKS = {
    "self": "",
    "results": "/results",
    "results_csv": "/results.csv",
    "results_jsonl": "/results.jsonl",
    "results_parquet": "/results.parquet",
    "errors": "/errors",
    "events": "/events",
    "cancel": "/cancel",
    "retry": "/retry",
}


def base_url(request: Request, settings: ApiSettings) -> str:
    """What links begin with: the operator's public address, else the one that this client used."""
    return (settings.public_url or str(request.base_url)).rstrip("/")


def job_url(base: str, job_id: UUID) -> str:
    """Address of a job."""
    return f"{base}/v1/jobs/{job_id}"


def job_object(job: Job, tallies: Tallies, base: str) -> JobObject:
    """A job with its tallies."""
    spec = job.modelspec or {}
    rate = _rate(job)
    known = job.total is not None
    return JobObject(
        id=job.id,
        name=job.name,
        state=JobState(job.state),
        revision=job.revision,
        timestamps=Timestamps(
            queued=job.created_at,
            preparing=job.preparing_at,
            running=job.running_at,
            cancelling=job.cancelling_at,
            succeeded=job.succeeded_at,
            failed=job.failed_at,
            cancelled=job.cancelled_at,
        ),
        counts=Counts(
            total=job.total,
            succeeded=job.succeeded,
            failed=job.failed,
            skipped=job.skipped,
            remaining=job.remaining if known else None,
        ),
        labels=tallies.labels,
        errors=tallies.errors,
        item_notes=tallies.notes,
        notes=[JobNote(**note) for note in job.notes or ()],
        images_per_s=round(rate, 3) if rate else None,
        eta_s=round(job.remaining / rate, 3) if rate and job.state == JobState.RUNNING else None,
        model=job.model,
        version=job.version,
        requested=Requested(label=job.requested_label, version=job.requested_version),
        classes=list(spec["classes"]) if spec else None,
        threshold=threshold_of(job),
        waiting_for=job.waiting_for,
        waiting_since=job.waiting_since,
        waiting_until=job.waiting_until,
        error=JobFailure(code=job.error_code, message=job.error or "") if job.error_code else None,
        tags=list(tallies.tags),
        links={name: job_url(base, job.id) + path for name, path in _LINKS.items()},
    )


def _rate(job: Job) -> float | None:
    """Items of the present run per second, up to the last outcome; None before it, and where the run was only an instant.

    A run begins when the archive is listed, and again with each retry.
    """
    if job.running_at is None or job.progress_at is None:
        return None
    seconds = (job.progress_at - job.running_at).total_seconds()
    done = job.succeeded + job.failed - (job.done_before or 0)
    return done / seconds if done > 0 and seconds >= SHORTEST_RUN_S else None


def classes_of(job: Job) -> tuple[str, ...]:
    """Class names in the order of the probabilities; none before the model is resolved."""
    return tuple((job.modelspec or {}).get("classes", ()))


def threshold_of(job: Job) -> float | None:
    """Risk at or above which the job's model flags an image; None before the model is resolved, and without a risk."""
    spec = job.modelspec or {}
    threshold = spec.get("thresholds", {}).get(spec.get("operating_point"))
    return None if threshold is None else as_shown(threshold)


def display_name(name: bytes) -> str:
    """A member's name as text. Bytes that are no UTF-8 become \\xNN, so that every name can be shown and none is lost.

    A backslash that stands before such digits in the name itself becomes \\x5c: different names stay different.
    """
    return _LOOKALIKE.sub(rb"\\x5c", name).decode("utf-8", "backslashreplace")


def metadata_of(job: Job) -> tuple[str, ...]:
    """Columns of the table that the job's images come from, without the one that names them; none for other archives."""
    return tuple(job.metadata_columns or ())


def decision_cells(decided: Decided, item: int) -> dict[str, Any]:
    """What holds for an item, and the two reads where the job has second ones; all null where nobody has decided."""
    cells = _final_cells(decided.final.get(item))
    if decided.reads is None:
        return cells
    reads = decided.reads.get(item, (None, None))
    values = [each and getattr(each, name) for each in reads for name in ("verdict", "label", "reviewer")]
    return cells | dict(zip(READ_KEYS, values, strict=True))


def _final_cells(decision: AnyDecision | None) -> dict[str, Any]:
    if decision is None:
        return dict.fromkeys(DECISION_KEYS)
    at = decision.decided_at.isoformat().replace("+00:00", "Z")
    values = (decision.verdict, decision.label, decision.flagged, decision.note or None, decision.reviewer, at)
    return dict(zip(DECISION_KEYS, values, strict=True))


def result_objects(
    rows: Sequence[ResultRow],
    model: str,
    classes: Sequence[str],
    metadata: Sequence[str] = (),
    decided: Decided | None = None,
    *,
    duplicates: Mapping[int, int] | None = None,
    truths: Mapping[int, str] | None = None,
    every_class: bool = False,
) -> Iterator[dict[str, Any]]:
    """Rows as JSON objects, in the order of columns that CSV and Parquet have too.

    With `metadata` where there is a table, and with the keys of near duplicates, truth and decisions where the job has any.
    With `every_class` each class has its key, however many there are (api.results.classcolumns).
    """
    keys = class_keys(classes, every=every_class)
    missing = [None] * len(keys)
    matrix = probability_matrix([row for row in rows if row.probabilities is not None], len(classes))
    probabilities = class_values(matrix, classes, every=every_class)
    floats = np.array(
        [(row.score or 0.0, row.risk or 0.0, row.novelty or 0.0, row.uncertainty or 0.0) for row in rows], np.float64
    )
    heads = shortest_floats(floats.reshape(-1, 4))
    for row, (score, risk, novelty, uncertainty) in zip(rows, heads, strict=True):
        yield {
            "item": row.item_no,
            "name": display_name(row.name),
            "status": row.state,
            "label": row.label,
            "score": None if row.score is None else score,
            "risk": None if row.risk is None else risk,
            **dict(zip(keys, missing if row.probabilities is None else next(probabilities), strict=True)),
            "flag": None if row.flag is None else bool(row.flag),
            "error_code": row.error_code,
            "error": row.error,
            "width": row.width,
            "height": row.height,
            "model": model,
            "version": row.version,
            "novelty": None if row.novelty is None else novelty,
            "uncertainty": None if row.uncertainty is None else uncertainty,
            "notes": row.notes.split(",") if row.notes else [],
            **({"metadata": row.metadata or {}} if metadata else {}),
            **({} if duplicates is None else {"duplicate_group": duplicates.get(row.item_no)}),
            **({} if truths is None else {"truth": truths.get(row.item_no)}),
            **({} if decided is None else decision_cells(decided, row.item_no)),
        }


def item_failures(rows: Sequence[ResultRow]) -> list[ItemFailure]:
    """Failed rows, with their place in the archive."""
    return [
        ItemFailure(item=row.item_no, name=display_name(row.name), code=row.error_code or "", message=row.error or "")
        for row in rows
    ]


def probability_matrix(rows: Sequence[ResultRow], classes: int) -> npt.NDArray[np.float32]:
    """float32 [rows, classes]; every row must have probabilities."""
    joined = b"".join([row.probabilities or b"" for row in rows])
    return np.frombuffer(joined, "<f4").reshape(len(rows), classes)
