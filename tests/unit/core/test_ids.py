"""Ids sort by time."""

from __future__ import annotations

import time
import uuid

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
