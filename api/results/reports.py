"""The report on a job: read, computed once for each state of the job and of its truth, and kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Engine

from api.results.recent import Recent
from api.results.views import classes_of, metadata_of
from api.schemas import DISCLAIMER
from core.db.engine import reading
from core.db.jobs import get_job
from core.db.models import Job
from core.db.truth.store import JudgedItem, find_truth_set, read_judged_items
from core.db.truth.tables import TruthSet
from core.errors import ConflictError, NotFoundError
from core.evaluation.figures import without_nan
from core.evaluation.judging import Answers, judge
from core.modelspec import ModelSpec

ReportCache = Recent[tuple[UUID, int, int], dict[str, Any]]
KEPT = 32


def load_report(engine: Engine, cache: ReportCache, tenant_id: UUID, job_id: UUID) -> dict[str, Any]:
    """The report on a job, ready for JSON. Blocking: it takes a second of 100,000 images.

    Raises:
        NotFoundError: no such job, or it has no truth.
        ConflictError: no classified image has a truth, or several classes may be true of one image.
    """
    with reading(engine) as session:
        job = get_job(session, tenant_id, job_id)
        known = require_truth(find_truth_set(session, job_id), job_id)
        key = (job_id, job.revision, known.revision)
        return cache.get(key, lambda: make_report(job, known, read_judged_items(session, job_id)))


def require_truth(known: TruthSet | None, job_id: UUID) -> TruthSet:
    """What is known of the truth; raises NotFoundError where there is none."""
    if known is None:
        raise NotFoundError(
            f"job {job_id} has no truth: send a CSV with PUT /v1/jobs/{job_id}/truth, or with `dermq evaluate-job --truth FILE`"
        )
    return known


def make_report(job: Job, known: TruthSet, rows: Sequence[JudgedItem]) -> dict[str, Any]:
    """All of the report; see ReportObject."""
    spec = spec_of(job)
    judged = [row for row in rows if row.truth is not None and row.probabilities is not None]
    if not judged:
        raise ConflictError(f"no classified image of job {job.id} has a truth: retry the failed ones, or send another truth")
    joined = b"".join([row.probabilities or b"" for row in judged])
    probabilities = np.frombuffer(joined, "<f4").reshape(len(judged), len(spec.classes)).astype(np.float64)
    risks = np.array([row.risk for row in judged], np.float64) if spec.has_risk else None
    answers = Answers([row.truth or "" for row in judged], probabilities, risks, [row.metadata for row in judged])
    figures = without_nan(judge(answers, spec, metadata_of(job)))
    return {
        "object": "report",
        "job": str(job.id),
        "name": job.name,
        "model": job.model,
        "versions": sorted({row.version for row in judged if row.version is not None}),
        "class_names": list(classes_of(job)),
        "malignant": list(spec.malignant),
        "operating_point": spec.operating_point or None,
        "truth": {"revision": known.revision, "added_at": known.added_at.isoformat().replace("+00:00", "Z"), **known.summary},
        "images": len(judged),
        "failed": sum(row.truth is not None and row.probabilities is None for row in rows),
        "without_truth": sum(row.truth is None for row in rows),
        **figures,
        "disclaimer": DISCLAIMER,
    }


def spec_of(job: Job) -> ModelSpec:
    """The job's model, whose classes are not true together.

    Raises:
        ConflictError: the model is not known yet, or several of its classes may be true of one image.
    """
    if job.modelspec is None:
        raise ConflictError(f"job {job.id} is {job.state}: the classes of its model are not known")
    spec = ModelSpec.model_validate(job.modelspec)
    if spec.multi_label:
        raise ConflictError(f"several classes of {job.model} may be true of one image: a truth of one class cannot judge it")
    return spec
