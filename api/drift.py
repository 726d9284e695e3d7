"""Drift of served versions, for the API, the page of models and Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import BaseModel, Field
from sqlalchemy import Engine

from core.db.drift import VersionDrift, read_drift
from core.db.engine import reading
from core.drift import DriftLevel

RECENT = timedelta(days=30)
_KEPT = timedelta(minutes=5)  # how old figures for Prometheus may be: they are counted from many rows


class ClassShare(BaseModel):
    """Share of images whose first class is this one."""

    name: str
    expected: float = Field(description="On the test part of the version.")
    seen: float


class DriftObject(BaseModel):
    """How far a version's answers of the last 30 days lie from those on its test part: population stability indexes."""

    object: Literal["drift"] = "drift"
    model: str
    version: int
    level: DriftLevel = Field(
        description="Of the largest index: stable below 0.1, moved below 0.25, else shifted; few_images below 200 images."
    )
    since: datetime
    jobs: int = Field(description="Finished jobs that were counted, the newest first.")
    images: int
    reference_images: int = Field(description="Images of the test part.")
    classes: float = Field(description="Index of the first classes.")
    risk: float | None = Field(description="Index of the risks, over ten bins of the test part.")
    novelty: float | None = Field(description="Index of the novelty, over ten bins of the test part.")
    class_shares: list[ClassShare]


class DriftList(BaseModel):
    """The versions of a model that jobs ended with lately, and that have a reference."""

    object: Literal["list"] = "list"
    data: list[DriftObject]
    next: str | None = None


def list_drift(engine: Engine, tenant_id: UUID, now: datetime, model: str | None = None) -> list[DriftObject]:
    """Figures of one tenant's jobs.

    Raises:
        DatabaseUnavailableError: the ledger does not answer.
    """
    since = now - RECENT
    with reading(engine) as session:
        found = read_drift(session, since, tenant_id=tenant_id, model=model)
    return [_show(each, since) for each in found]


def _show(found: VersionDrift, since: datetime) -> DriftObject:
    drift, images = found.drift, found.seen.images
    shares = zip(found.classes, found.reference.classes, found.seen.classes, strict=True)
    return DriftObject(
        model=found.model,
        version=found.version,
        level=drift.level,
        since=since,
        jobs=found.jobs,
        images=images,
        reference_images=found.reference.images,
        classes=drift.classes,
        risk=drift.risk,
        novelty=drift.novelty,
        class_shares=[ClassShare(name=name, expected=expected, seen=seen / images) for name, expected, seen in shares],
    )


class DriftFigures:
    """The figures of all tenants together for Prometheus, counted again when they are old."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._counted_at: datetime | None = None
        self._found: list[VersionDrift] = []

    def read(self, engine: Engine, now: datetime) -> DriftCollector:
        """Ask the ledger, or take what it said less than five minutes ago.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        with self._counting:
            if self._counted_at is None or not timedelta(0) <= now - self._counted_at < _KEPT:
                with reading(engine) as session:
                    self._found = read_drift(session, now - RECENT)
                self._counted_at = now
            return DriftCollector(self._found)


class DriftCollector(Collector):
    """Indexes and the number of images behind them, by version."""

    def __init__(self, found: list[VersionDrift]) -> None:
        self._found = found

    def collect(self) -> Iterator[GaugeMetricFamily]:
        index = GaugeMetricFamily(
            "dermq_model_drift",
            "Population stability index of a version's answers of the last 30 days against its test part: 0.25 is a shift.",
            labels=["model", "version", "of"],
        )
        images = GaugeMetricFamily(
            "dermq_model_drift_images", "Images that the index was counted from.", labels=["model", "version"]
        )
        for each in self._found:
            images.add_metric([each.model, str(each.version)], each.seen.images)
            for name in ("classes", "risk", "novelty"):
                value = getattr(each.drift, name)
                if value is not None:
                    index.add_metric([each.model, str(each.version), name], value)
        yield index
        yield images
