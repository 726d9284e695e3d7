"""What each version answered lately, counted in the bins of its reference (core.drift). Reads the newest jobs only."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal, select
from sqlalchemy.orm import Session

from core.db.models import GONE_TENANT_ID, ItemState, Job, JobState, Result
from core.drift import Drift, Seen, measure_drift
from core.modelspec import Bins, ModelSpec, Reference

IMAGES = 100_000  # of one version: counting more takes longer and changes nothing
_JOBS = 200  # newest ones that are looked at


@dataclass(frozen=True, slots=True)
class VersionDrift:
    """The drift of one version over its newest jobs."""

    model: str
    version: int
    jobs: int
    reference: Reference
    classes: tuple[str, ...]
    seen: Seen
    drift: Drift


def read_drift(
    session: Session, since: datetime, *, tenant_id: uuid.UUID | None = None, model: str | None = None
) -> list[VersionDrift]:
    """The versions that jobs ended with since then, in the order of model and version; those without a reference left out.

    Args:
        session: an open session.
        since: jobs that ended before are old.
        tenant_id: whose jobs; by default everybody's.
        model: which model's; by default all.
    """
    versions: dict[tuple[str, int], list[Any]] = {}
    for job in session.execute(_newest_jobs(since, tenant_id, model)):
        versions.setdefault((job.model, job.version), []).append(job)
    found = (_measure(session, jobs) for _, jobs in sorted(versions.items()))
    return [drift for drift in found if drift]


def _newest_jobs(since: datetime, tenant_id: uuid.UUID | None, model: str | None) -> Any:
    query = (
        select(Job.id, Job.model, Job.version, Job.modelspec, Job.succeeded)
        .where(Job.state == JobState.SUCCEEDED, Job.succeeded_at >= since, Job.succeeded > 0, Job.version.is_not(None))
        .where(Job.tenant_id != GONE_TENANT_ID)
        .order_by(Job.id.desc())  # identifiers begin with the time
        .limit(_JOBS)
    )
    if tenant_id is not None:
        query = query.where(Job.tenant_id == tenant_id)
    return query if model is None else query.where(Job.model == model)


def _measure(session: Session, jobs: list[Any]) -> VersionDrift | None:
    spec = ModelSpec.model_validate(jobs[0].modelspec)
    if spec.reference is None:
        return None
    counts, used = _Counts(spec.reference), 0
    for job in jobs:
        if counts.images >= IMAGES:
            break
        used += 1
        for row in _count_rows(session, job, spec.reference):
            counts.add(*row)
    seen = counts.seen(spec.classes)
    drift = measure_drift(spec.reference, seen)
    if drift is None:
        return None
    return VersionDrift(jobs[0].model, jobs[0].version, used, spec.reference, spec.classes, seen, drift)


def _count_rows(session: Session, job: Any, reference: Reference) -> Iterator[Any]:
    """Label, place of the risk, place of the novelty, images. Of a very large job every n-th image."""
    step = max(1, -(-job.succeeded // IMAGES))
    risk, novelty = _place(Result.risk, reference.risk), _place(Result.novelty, reference.novelty)
    query = (
        select(Result.label, risk.label("risk_place"), novelty.label("novelty_place"), func.count())
        .where(Result.job_id == job.id, Result.state == ItemState.SUCCEEDED, Result.version == job.version)
        .group_by(Result.label, "risk_place", "novelty_place")
    )
    yield from session.execute(query.where(Result.item_no % step == 0) if step > 1 else query)


def _place(column: Any, bins: Bins | None) -> ColumnElement[int | None]:
    """Number of the bin that a value lies in; NULL where there is no value, or no bins."""
    if bins is None:
        return literal(None)
    at_or_above = [(column >= edge, number) for number, edge in reversed(list(enumerate(bins.edges, 1)))]
    return case((column.is_(None), None), *at_or_above, else_=0)


class _Counts:
    """Adds up the groups of several jobs."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._classes: Counter[str] = Counter()
        self._risk: Counter[int] = Counter()
        self._novelty: Counter[int] = Counter()

    @property
    def images(self) -> int:
        return self._classes.total()

    def add(self, label: str, risk: int | None, novelty: int | None, images: int) -> None:
        self._classes[label] += images
        for counter, place in ((self._risk, risk), (self._novelty, novelty)):
            if place is not None:
                counter[place] += images

    def seen(self, classes: tuple[str, ...]) -> Seen:
        return Seen(
            images=self.images,
            classes=tuple(self._classes[name] for name in classes),
            risk=_filled(self._risk, self._reference.risk),
            novelty=_filled(self._novelty, self._reference.novelty),
        )


def _filled(counts: Counter[int], bins: Bins | None) -> tuple[int, ...]:
    return () if bins is None else tuple(counts[place] for place in range(len(bins.shares)))
