"""Groups by a column: of a job that runs, its rows are not read again for each page."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import pytest
from sqlalchemy.orm import Session

from api.results import duplicates
from api.results.duplicates import GroupCache
from core.db.itemgroups import ItemGroup
from core.db.models import Job, JobState


@dataclass
class Rows:
    """Counts how often rows are read, which takes its time."""

    took_s: float
    now: float = 0.0
    reads: list[tuple[uuid.UUID, str]] = field(default_factory=list)

    def read(self, _: Session, job_id: uuid.UUID, column: str) -> list[ItemGroup]:
        self.reads.append((job_id, column))
        self.now += self.took_s
        return [ItemGroup(f"{column} {len(self.reads)}")]


def job(state: JobState, revision: int = 1) -> Job:
    return Job(id=uuid.UUID(int=1), state=state, revision=revision)


@pytest.mark.parametrize(("took_s", "held_s"), [(0.5, 5.0), (3.0, 10.0)], ids=["ten times as long", "at most ten seconds"])
def test_a_running_jobs_groups_are_held_for_a_moment(monkeypatch: pytest.MonkeyPatch, took_s: float, held_s: float) -> None:
    rows = Rows(took_s)
    monkeypatch.setattr(duplicates, "read_item_groups", rows.read)
    cache, session = GroupCache(monotonic=lambda: rows.now), Session()
    first = cache.groups(session, job(JobState.RUNNING), "a")
    rows.now += held_s - 0.01
    assert cache.groups(session, job(JobState.RUNNING, 2), "a") is first
    assert cache.groups(session, job(JobState.RUNNING, 2), "b") is not first
    rows.now += 0.02
    assert [group.value for group in cache.groups(session, job(JobState.RUNNING, 3), "a")] == ["a 3"]
    ended = cache.groups(session, job(JobState.SUCCEEDED, 4), "a")
    assert [group.value for group in ended] == ["a 4"], "an ended job's groups are those of its end"
    assert cache.groups(session, job(JobState.SUCCEEDED, 4), "a") is ended
    assert len(rows.reads) == 4


def test_some_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(0.1)
    monkeypatch.setattr(duplicates, "read_item_groups", rows.read)
    cache, session = GroupCache(monotonic=lambda: rows.now), Session()
    for column in "abcde":
        cache.groups(session, job(JobState.RUNNING), column)
    cache.groups(session, job(JobState.RUNNING), "b")
    assert len(rows.reads) == 5
    cache.groups(session, job(JobState.RUNNING), "a")
    assert len(rows.reads) == 6
