"""Ids sort by time."""

from __future__ import annotations

import time
import uuid

import pytest

from core.ids import new_id


def test_ids_are_version_seven_and_sort_by_time() -> None:
    before = time.time_ns() // 1_000_000
    ids = []
    for _ in range(5):
        ids.append(new_id())
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert all((value.version, value.variant) == (7, uuid.RFC_4122) for value in ids)
    assert before <= (ids[0].int >> 80) <= time.time_ns() // 1_000_000
    assert len({new_id() for _ in range(1000)}) == 1000


def test_ids_of_one_millisecond_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [1_764_000_000_123_000_000 + offset for offset in (0, 300, 1_000, 500_000, 999_999, 1_000_000)]
    found = []
    for moment in moments:
        monkeypatch.setattr("core.ids.time.time_ns", lambda moment=moment: moment)
        found.append(new_id())
    assert found == sorted(found)
    assert {each.version for each in found} == {7}
