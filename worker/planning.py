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
    for member in archive.members():
        line = member.to_line()
        if columns is not None and member.metadata:
            columns.update(dict.fromkeys(member.metadata))
        full = number - first_item >= settings.chunk_items or packed + member.packed_size > settings.chunk_bytes
        if number > first_item and full:
            yield ChunkPlan(first_item, number - first_item, offset, length)
            first_item, offset, length, packed = number, offset + length, 0, 0
        writer.write(line)
        number += 1
        length += len(line)
        packed += member.packed_size
    if number > first_item:
        yield ChunkPlan(first_item, number - first_item, offset, length)


def cut_tail(plans: Sequence[ChunkPlan], processes: int) -> list[ChunkPlan]:
    """The last chunks in pieces, so that no process has a whole chunk left when the others have nothing.

    As many chunks as there are processes are cut in halves; a job with fewer chunks is cut into two pieces for each process.
    """
    if processes == 1:
        return list(plans)
    tail = plans[-processes:]
    pieces = -(-2 * processes // max(1, len(tail)))
    return [*plans[: len(plans) - len(tail)], *(part for plan in tail for part in _cut(plan, pieces))]


def _cut(plan: ChunkPlan, pieces: int) -> Iterator[ChunkPlan]:
    """Pieces of LEAST_ITEMS or more; they share the slice of the index."""
    pieces = max(1, min(pieces, plan.item_count // LEAST_ITEMS))
    for number in range(pieces):
        begin, end = (plan.item_count * at // pieces for at in (number, number + 1))
        yield replace(plan, first_item=plan.first_item + begin, item_count=end - begin, index_first_item=plan.first_item)
