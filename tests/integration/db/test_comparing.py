"""Which jobs may be compared with one: those over the same images."""

from __future__ import annotations

from sqlalchemy import Engine

from core.db.comparing import find_comparable
from core.db.engine import reading
from core.db.models import Job
from tests.support.ledger import Ledger


def test_newer_jobs_of_the_same_name_over_another_source_hide_none(engine: Engine) -> None:
    ledger = Ledger(engine)
    alike = [ledger.start(items=1) for _ in range(2)]
    job_id = ledger.start(items=1)
    others = [ledger.start(items=1, source={"kind": "path", "path": "/elsewhere/a.zip"}) for _ in range(21)]
    for each in (*alike, job_id, *others):
        assert ledger.run(each, 0)
    with reading(engine) as session:
        found = find_comparable(session, session.get_one(Job, job_id))
        assert [job.id for job in found] == alike[::-1]
        assert len(find_comparable(session, session.get_one(Job, others[0]))) == 20
