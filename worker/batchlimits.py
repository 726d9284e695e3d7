"""How many images a model version takes in one request, as far as this process has found out.

A server that has not enough memory for a batch (RESOURCE_EXHAUSTED) is asked again with half of it, and the half is remembered:
the next chunk does not begin with the same refusal. After some successes the batch grows again, as the memory may be free by
then; each refusal doubles how many successes that takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_PATIENCE = 16  # full batches that must pass before the limit doubles
_MOST_PATIENCE = 1024


@dataclass(slots=True)
class _Limit:
    images: int
    passed: int = 0  # full batches since the limit was set
    patience: int = FIRST_PATIENCE


@dataclass(slots=True)
class BatchLimits:
    """The limits of one worker process, by model version. Not for several threads."""

    _limits: dict[tuple[str, int], _Limit] = field(default_factory=dict)

    def images(self, model: str, version: int, ceiling: int) -> int:
        """Images to send in one request: at most `ceiling`, at least 1."""
        limit = self._limits.get((model, version))
        return min(limit.images, ceiling) if limit else ceiling

    def note_refused(self, model: str, version: int, images: int) -> None:
        """A batch of so many images was too much: half as many from now on."""
        limit = self._limits.get((model, version))
        if limit is None:
            self._limits[model, version] = _Limit(max(1, images // 2))
            return
        if images <= limit.images:  # a larger one was sent before the limit was known, and says nothing new
            limit.patience = min(2 * limit.patience, _MOST_PATIENCE)
        limit.images, limit.passed = min(limit.images, max(1, images // 2)), 0

    def note_passed(self, model: str, version: int, images: int, ceiling: int) -> None:
        """A batch of so many images was answered; after some full ones the limit doubles, up to `ceiling`."""
        limit = self._limits.get((model, version))
        if limit is None or images < limit.images or limit.images >= ceiling:
            return
        limit.passed += 1
        if limit.passed >= limit.patience:
            limit.images, limit.passed = min(2 * limit.images, ceiling), 0
