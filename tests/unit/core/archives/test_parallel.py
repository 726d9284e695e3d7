"""Members read ahead: in order, several at a time, bounded, with each one's own error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from core.archives import parallel
from core.archives.base import Member
from core.archives.parallel import THREADS, read_ahead
from core.errors import ItemError, ItemErrorCode, StorageUnavailableError


class Slow:
    """An archive that counts who reads at once; `gate` lets them go on."""

    reads_in_parallel = True

    def __init__(self, answer: Callable[[Member], bytes] = lambda member: member.name.encode()) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self.gate = threading.Barrier(1)
        self.asked: list[str] = []

    def read(self, member: Member) -> bytes:
        with self._lock:
            self.asked.append(member.name)
        self.gate.wait(20)
        return self._answer(member)


def members(count: int, size: int = 10) -> list[tuple[int, Member]]:
    return [(number, Member(f"{number}", size=size)) for number in range(count)]


def test_they_come_in_order_and_as_many_at_once_as_there_are_threads() -> None:
    archive: Any = Slow()
    archive.gate = threading.Barrier(THREADS)  # passes only if so many read at once
    found = [(number, read()) for number, _, read in read_ahead(archive, members(3 * THREADS))]
    assert found == [(number, b"%d" % number) for number in range(3 * THREADS)]


def test_large_members_are_not_asked_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "AHEAD_BYTES", 25)
    archive: Any = Slow()
    walk = read_ahead(archive, members(10, size=10))
    assert next(walk)[2]() == b"0"
    assert len(archive.asked) <= 3
    walk.close()
    monkeypatch.setattr(parallel, "AHEAD_BYTES", 1)
    assert [read() for _, _, read in read_ahead(archive, members(3, size=10))] == [b"0", b"1", b"2"]


def test_each_has_its_own_error() -> None:
    def answer(member: Member) -> bytes:
        if member.name == "1":
            raise ItemError(ItemErrorCode.NOT_FOUND, "gone")
        if member.name == "2":
            raise StorageUnavailableError("away")
        return b"here"

    archive: Any = Slow(answer)
    found: list[object] = []
    for _, _, read in read_ahead(archive, members(4, size=-1)):
        try:
            found.append(read())
        except (ItemError, StorageUnavailableError) as error:
            found.append(str(error))
    assert found == [b"here", "gone", "away", b"here"]


def test_another_archive_is_read_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    archive: Any = Slow()
    archive.reads_in_parallel = False
    walk = read_ahead(archive, members(5))
    assert next(walk)[2]() == b"0"
    assert archive.asked == ["0"]
