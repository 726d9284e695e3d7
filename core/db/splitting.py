"""Cuts a chunk up that never comes to its end, so that in the end only the item at fault is left alone."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.db.models import Chunk, ChunkState, Job
from core.db.statements import TakenChunk

SPLIT_WAYS = 8  # 1,024 items reach a single one in four cuts


def chunk_items(chunk: Chunk | TakenChunk) -> tuple[int, ...]:
    """The item numbers a chunk stands for."""
    if chunk.picked is not None:
        return tuple(chunk.picked)
    return tuple(range(chunk.first_item, chunk.first_item + chunk.item_count))


def split_chunk(session: Session, job: Job, chunk: Chunk) -> None:
    """Replace a chunk by smaller ones that wait; the caller holds the job's row lock."""
    items = chunk_items(chunk)
    step = -(-len(items) // SPLIT_WAYS)
    for start in range(0, len(items), step):
        part = items[start : start + step]
        session.add(
            Chunk(
                job_id=job.id,
                chunk_no=job.chunk_count,
                first_item=part[0],
                item_count=part[-1] - part[0] + 1,
                picked=list(part) if chunk.picked is not None else None,
                index_first_item=chunk.index_first_item,
                index_offset=chunk.index_offset,
                index_length=chunk.index_length,
                state=ChunkState.PENDING,
            )
        )
        job.chunk_count += 1
    chunk.state = ChunkState.SPLIT
    chunk.due_at = None
