"""How a call that failed is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """How often, and after what waits, one call is tried again. Small on purpose: the ledger does the long waiting."""

    attempts: int = 3
    base_s: float = 0.1
    max_s: float = 1.0

    def wait_s(self, attempt: int) -> float:
        """Full jitter: uniform between 0 and the exponential bound."""
        return random.uniform(0, min(self.max_s, self.base_s * 2**attempt))  # noqa: S311 - spreads load, keeps no secret
