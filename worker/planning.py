"""Cuts a list of members into chunks: by time, as far as it is known, and finer at the end.

A chunk is what a process works on before it commits. About half a second keeps the bookkeeping below some hundredths of the
work, and the last processes busy until the end. It bounds nobody's wait: a process gives way within a chunk (worker.shift).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from core.archives.base import Archive
from core.db.preparing import ChunkPlan
from core.settings import WorkerSettings
from core.storage.base import ObjectWriter

CHUNK_S = 0.5  # of one process
LEAST_ITEMS = 16  # in a piece of a chunk that is cut at the end: less is not worth a commit
LEAST_TIMED_ITEMS = 64  # in a chunk that is cut by time: in shorter runs what a chunk costs by itself would pass for items
FIRST_ITEMS = 256  # in a chunk of a model version that has never been measured
LEAST_SHARE = 6  # a piece has this part of a chunk at least, or its own costs would count: some 80 ms of work
_LINES = 256  # of the index, written at a time


def items_in_chunk(item_s: float | None, most: int) -> int:
    """How many items a chunk shall have.

    Args:
        item_s: seconds that one process takes for one item; None: not measured.
        most: what the operator allows.
    """
    wanted = FIRST_ITEMS if item_s is None else max(LEAST_TIMED_ITEMS, int(CHUNK_S / item_s))
    return min(most, wanted)


def plan_chunks(
    archive: Archive, writer: ObjectWriter, settings: WorkerSettings, columns: dict[str, None] | None = None
) -> Iterator[ChunkPlan]:
    """Write the index and cut the members into runs of at most chunk_items items and about chunk_bytes packed bytes.

    The names of the members' metadata are put into `columns`, in the order in which they come.
    """
    first_item = number = offset = length = packed = 0
    lines: list[bytes] = []  # not written yet: to write each line by itself takes a third of the time of a listing
    for member in archive.members():
        line = member.to_line()
        if columns is not None and member.metadata:
            columns.update(dict.fromkeys(member.metadata))
        full = number - first_item >= settings.chunk_items or packed + member.packed_size > settings.chunk_bytes
        if number > first_item and full:
            yield ChunkPlan(first_item, number - first_item, offset, length)
            first_item, offset, length, packed = number, offset + length, 0, 0
        lines.append(line)
        if len(lines) == _LINES:
            writer.write(b"".join(lines))
            lines.clear()
        number += 1
        length += len(line)
        packed += member.packed_size
    writer.write(b"".join(lines))
    if number > first_item:
        yield ChunkPlan(first_item, number - first_item, offset, length)


def cut_tail(plans: Sequence[ChunkPlan], processes: int, chunk_items: int = 0) -> list[ChunkPlan]:
    """The last chunks in ever smaller pieces, so that the processes come to the end at about the same time.

    Each piece has half of what one process's share of the items left is (guided self-scheduling: Polychronopoulos, Kuck 1987).
    As many chunks as there are processes are cut.

    Args:
        plans: all chunks of a job.
        processes: that work at the same time, as far as it is known.
        chunk_items: items of a whole chunk, of which a piece has a LEAST_SHARE-th part or more.
    """
    if processes == 1:
        return list(plans)
    whole, tail = plans[:-processes], plans[-processes:]
    least, left = max(LEAST_ITEMS, chunk_items // LEAST_SHARE), sum(plan.item_count for plan in tail)
    pieces: list[ChunkPlan] = []
    for plan in tail:
        begin = 0
        while begin < plan.item_count:
            count = max(least, -(-left // (2 * processes)))
            rest = plan.item_count - begin - count
            count += rest if rest < LEAST_ITEMS else 0  # no piece of fewer; below 0 it ends with the chunk
            pieces.append(replace(plan, first_item=plan.first_item + begin, item_count=count, index_first_item=plan.first_item))
            begin, left = begin + count, left - count
    return [*whole, *pieces]
