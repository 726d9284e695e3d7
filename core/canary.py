"""Which jobs go to the canary: a fixed share, chosen by hash, so that the same job is always chosen alike."""

from __future__ import annotations

import hashlib

from core.db.jobs import NewJob

CANARY = "canary"
_RESOLUTION = 10_000  # hundredths of a percent


def is_canary(job: NewJob, percent: float) -> bool:
    """Whether a new job belongs to the canary's share.

    Args:
        job: only one that names neither label nor version can; chosen by its idempotency key, else by its id.
        percent: 0 to 100; a job that is chosen stays so when the share grows.
    """
    if job.label is not None or job.version is not None:
        return False
    return bucket(job.idempotency_key or str(job.id)) < percent * _RESOLUTION / 100


def bucket(key: str) -> int:
    """A number from 0 to 9999, uniform over keys: the first eight bytes of SHA-256, reduced (bias below 1e-15)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % _RESOLUTION
