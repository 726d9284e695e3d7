"""A limit on what this process may allocate."""

from __future__ import annotations

import resource


def limit_memory(max_bytes: int) -> None:
    """What is allocated beyond is a MemoryError in this process, and not the machine's trouble (setrlimit(2), RLIMIT_DATA).

    A stricter limit that is there already stays.

    Args:
        max_bytes: of private memory, with the stacks of threads; shared and read-only pages do not count.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    strictest = min([max_bytes, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_DATA, (strictest, hard))
