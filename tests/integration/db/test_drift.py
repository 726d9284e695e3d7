"""What versions answered lately, counted by the database in the bins of their references, on both databases."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, update

from core.db import drift as module
from core.db.drift import VersionDrift, read_drift
from core.db.engine import reading, transaction
from core.db.models import Job
from core.db.outcomes import ItemOutcome
from core.drift import Seen
from core.modelspec import Bins, ModelSpec, Reference
from tests.support.ledger import Ledger, broken, succeeded

REFERENCE = Reference(
    images=100,
    classes=(0.5, 0.5),
    risk=Bins(edges=(0.25, 0.5), shares=(0.5, 0.25, 0.25)),
    novelty=Bins(edges=(1.0,), shares=(0.9, 0.1)),
)
SPEC = ModelSpec(
    name="tiny",
    classes=("a", "b"),
    input_height=8,
    input_width=8,
    malignant=("b",),
    thresholds={"t": 0.5},
    operating_point="t",
    preprocessing_hash="x",
    reference=REFERENCE,
)
# label, risk, novelty of items 0 to 4; item 5 fails
ROWS = [("a", 0.0, 0.5), ("a", 0.25, None), ("a", 0.4, 1.0), ("b", 0.5, 2.0), ("b", 0.9, 0.1)]


def outcome(number: int) -> ItemOutcome:
    if number % 6 == 5:
        return broken(number)
    label, risk, novelty = ROWS[number % 6]
    return replace(succeeded(number), label=label, risk=risk, novelty=novelty)


def end_job(ledger: Ledger, *, items: int = 6, spec: ModelSpec = SPEC, version: int = 7, **changes: object) -> uuid.UUID:
    job_id = ledger.start(items=items, chunk_items=items, **changes)
    fields: dict[str, Any] = {"modelspec": spec.model_dump(mode="json"), "version": version}
    with transaction(ledger.engine) as session:
        session.execute(update(Job).where(Job.id == job_id).values(**fields))
    claim = ledger.claim(job_id, 0)
    assert claim is not None
    assert ledger.finish(claim, [outcome(number) for number in claim.item_numbers]) is not None
    return job_id


def found(ledger: Ledger, **asked: Any) -> list[VersionDrift]:
    with reading(ledger.engine) as session:
        return read_drift(session, ledger.clock.now() - timedelta(days=30), **asked)


def test_values_on_an_edge_belong_to_the_bin_above(engine: Engine) -> None:
    ledger = Ledger(engine)
    end_job(ledger)
    [version] = found(ledger)
    assert (version.model, version.version, version.jobs, version.classes) == ("tiny", 7, 1, ("a", "b"))
    assert version.seen == Seen(images=5, classes=(3, 2), risk=(1, 2, 2), novelty=(2, 2))


def test_jobs_of_a_version_are_added_up_and_versions_kept_apart(engine: Engine) -> None:
    ledger = Ledger(engine)
    end_job(ledger)
    end_job(ledger)
    end_job(ledger, version=8)
    end_job(ledger, version=9, spec=SPEC.model_copy(update={"reference": None}))
    assert [(each.version, each.jobs, each.seen.images) for each in found(ledger)] == [(7, 2, 10), (8, 1, 5)]
    assert found(ledger, model="another") == []


def test_old_and_unfinished_jobs_and_other_tenants_do_not_count(engine: Engine) -> None:
    ledger = Ledger(engine)
    end_job(ledger)
    ledger.clock.advance(31 * 86400)
    ledger.start(items=6)
    assert found(ledger) == []
    end_job(ledger)
    assert [each.seen.images for each in found(ledger)] == [5]
    assert found(ledger, tenant_id=uuid.uuid4()) == []


def test_of_a_large_job_every_nth_image_is_counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IMAGES", 10)
    ledger = Ledger(engine)
    end_job(ledger, items=24)  # 20 succeed: every second one
    [version] = found(ledger)
    assert version.seen.classes == (8, 4)
