"""How a limit shrinks, is remembered by model version, and grows again."""

from __future__ import annotations

from worker.batchlimits import FIRST_PATIENCE, BatchLimits


def pass_batches(limits: BatchLimits, count: int, images: int) -> None:
    for _ in range(count):
        limits.note_passed("m", 1, images, 32)


def test_a_refusal_halves_for_that_version_only() -> None:
    limits = BatchLimits()
    assert limits.images("m", 1, 32) == 32
    limits.note_refused("m", 1, 32)
    assert (limits.images("m", 1, 32), limits.images("m", 1, 8)) == (16, 8)
    assert (limits.images("m", 2, 32), limits.images("n", 1, 32)) == (32, 32)
    for size in (16, 8, 4, 2, 1):
        limits.note_refused("m", 1, size)
    assert limits.images("m", 1, 32) == 1


def test_a_batch_that_was_under_way_says_nothing_new() -> None:
    limits = BatchLimits()
    limits.note_refused("m", 1, 32)
    limits.note_refused("m", 1, 32)
    assert limits.images("m", 1, 32) == 16
    pass_batches(limits, FIRST_PATIENCE, 16)
    assert limits.images("m", 1, 32) == 32


def test_it_grows_after_some_full_batches_and_ever_more_slowly() -> None:
    limits = BatchLimits()
    limits.note_refused("m", 1, 32)
    pass_batches(limits, FIRST_PATIENCE, 15)
    assert limits.images("m", 1, 32) == 16, "batches that were not full prove nothing"
    pass_batches(limits, FIRST_PATIENCE - 1, 16)
    assert limits.images("m", 1, 32) == 16
    pass_batches(limits, 1, 16)
    assert limits.images("m", 1, 32) == 32
    limits.note_refused("m", 1, 32)
    pass_batches(limits, FIRST_PATIENCE, 16)
    assert limits.images("m", 1, 32) == 16, "the second growth takes twice as long"
    pass_batches(limits, FIRST_PATIENCE, 16)
    assert limits.images("m", 1, 32) == 32
