"""Cutting an archive into chunks."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.archives.base import ArchiveKind, ArchiveRef, Member
from core.archives.open import open_archive
from core.db.preparing import ChunkPlan
from core.settings import ApiSettings, Settings, WorkerSettings
from core.storage.local import LocalStorage
from worker.planning import FIRST_ITEMS, LEAST_ITEMS, cut_tail, items_in_chunk, plan_chunks


@given(sizes=st.lists(st.integers(0, 300), max_size=40), chunk_items=st.integers(1, 9), chunk_bytes=st.integers(1, 700))
def test_chunks_cover_every_item_once_within_their_bounds(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], chunk_items: int, chunk_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, size in enumerate(sizes):
            archive.writestr(f"{number}.jpg", b"x" * size)
    storage = LocalStorage(folder / "objects")
    opened = open_archive(
        ArchiveRef(ArchiveKind.ZIP, "path", str(path), "a.zip"), storage, Settings(api=ApiSettings(source_roots=(folder,)))
    )
    with storage.writer("jobs/1/index") as writer:
        settings = WorkerSettings(chunk_items=chunk_items, chunk_bytes=chunk_bytes)
        chunks = list(plan_chunks(opened, writer, settings))
        writer.commit()
    opened.close()
    assert [item for chunk in chunks for item in range(chunk.first_item, chunk.first_item + chunk.item_count)] == list(
        range(len(sizes))
    )
    index = storage.open("jobs/1/index")
    for chunk in chunks:
        lines = index.read_at(chunk.index_offset, chunk.index_length).splitlines()
        names = [Member.from_line(line).name for line in lines]
        assert names == [f"{chunk.first_item + n}.jpg" for n in range(chunk.item_count)]
        packed = sum(sizes[chunk.first_item : chunk.first_item + chunk.item_count])
        assert chunk.item_count == 1 or packed <= chunk_bytes
        assert chunk.item_count <= chunk_items
    index.close()


def test_an_index_line_keeps_any_name(tmp_path: Path) -> None:
    for name in ("ä/ö.jpg", "line\nbreak.jpg", 'quote".jpg', b"\xff\xfe.jpg".decode("utf-8", "surrogateescape"), ""):
        member = Member(name, 1, 2, 3, 8, 0xFFFFFFFF)
        line = member.to_line()
        assert line.count(b"\n") == 1
        assert Member.from_line(line) == member


@given(
    st.text() | st.text('\\"/\x00\x7f\x1f\udcff\u2028\U0001f600e'),
    st.none() | st.integers(0, 2**32 - 1),
    st.integers(-1, 2**63),
)
def test_an_index_line_is_the_json_that_earlier_releases_read(name: str, crc32: int | None, number: int) -> None:
    line = Member(name, number, number, number, 8, crc32).to_line()
    expected = json.dumps([name, number, number, number, 8, crc32, None, ""], ensure_ascii=True, separators=(",", ":"))
    assert line == expected.encode() + b"\n"


@pytest.mark.parametrize(
    ("item_s", "most", "items"),
    [(None, 1024, FIRST_ITEMS), (None, 8, 8), (0.001, 1024, 500), (0.0001, 1024, 1024), (0.005, 1024, 100), (9.0, 1024, 64)],
    ids=["unmeasured", "bounded", "half a second", "fast", "slow", "very slow"],
)
def test_a_chunk_holds_half_a_second_of_work_within_its_bounds(item_s: float | None, most: int, items: int) -> None:
    assert items_in_chunk(item_s, most) == items


@given(counts=st.lists(st.integers(1, 300), max_size=8), processes=st.integers(1, 5), chunk_items=st.integers(0, 300))
def test_the_tail_is_cut_without_losing_or_doubling_an_item(counts: list[int], processes: int, chunk_items: int) -> None:
    plans, first = [], 0
    for count in counts:
        plans.append(ChunkPlan(first, count, 10 * first, 10 * count))
        first += count
    cut = cut_tail(plans, processes, chunk_items)
    assert [item for plan in cut for item in range(plan.first_item, plan.first_item + plan.item_count)] == list(range(first))
    for plan in cut:
        [whole] = [each for each in plans if each.index_offset == plan.index_offset]
        assert plan.index_length == whole.index_length
        assert plan is whole or plan.index_first_item == whole.first_item
        assert plan.item_count >= min(LEAST_ITEMS, whole.item_count)
    untouched = len(plans) if processes == 1 else max(0, len(plans) - processes)
    assert cut[:untouched] == plans[:untouched]
    if processes > 1 and chunk_items == 0 and counts and min(counts) >= 2 * LEAST_ITEMS * processes:
        assert len(cut) >= 2 * processes


def cut_counts(counts: list[int], processes: int, chunk_items: int) -> list[int]:
    """The items of the pieces of chunks with so many items."""
    plans = [ChunkPlan(sum(counts[:at]), count, 0, 1) for at, count in enumerate(counts)]
    return [plan.item_count for plan in cut_tail(plans, processes, chunk_items)]


@pytest.mark.parametrize(
    ("counts", "processes", "chunk_items", "pieces"),
    [
        ([600, 600], 2, 600, [300, 225, 75, 150, 113, 100, 100, 100, 37]),
        ([600, 600, 600], 2, 600, [600, 300, 225, 75, 150, 113, 100, 100, 100, 37]),
        ([50], 2, 64, [16, 16, 18]),
        ([50], 2, 600, [50]),
        ([600, 600], 1, 600, [600, 600]),
        ([], 2, 600, []),
    ],
    ids=["two chunks", "three chunks", "a small job", "a job that is not worth it", "one process", "nothing"],
)
def test_the_pieces_become_smaller_towards_the_end(
    counts: list[int], processes: int, chunk_items: int, pieces: list[int]
) -> None:
    assert cut_counts(counts, processes, chunk_items) == pieces
