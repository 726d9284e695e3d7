"""Drift: how far what a version answers now lies from what it answered on its test part.

The figure is the population stability index (PSI) over fixed bins: sum of (seen - expected) * ln(seen / expected). By the usual
rule (Siddiqi, Credit Risk Scorecards, 2006) it is stable below 0.1, has moved below 0.25, and has shifted from there on. Other
pictures have other diseases and other dermatoscopes: a shift is a reason to look, not a proof that answers are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.modelspec import Bins, Reference

MOVED = 0.1
SHIFTED = 0.25
FEW = 200  # images; with fewer the index of ten bins is mostly chance
_LEAST = 1e-4  # share of an empty bin: the logarithm needs one


class DriftLevel(StrEnum):
    """What an index means."""

    STABLE = "stable"
    MOVED = "moved"
    SHIFTED = "shifted"
    FEW = "few_images"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a version answered lately, counted in the bins of its reference."""

    images: int
    classes: tuple[int, ...]  # images by first class
    risk: tuple[int, ...] = ()
    novelty: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """Population stability indexes; None where the version, or its reference, has no such figure."""

    images: int
    classes: float
    risk: float | None
    novelty: float | None

    @property
    def level(self) -> DriftLevel:
        """Of the largest index."""
        if self.images < FEW:
            return DriftLevel.FEW
        largest = max(value for value in (self.classes, self.risk, self.novelty) if value is not None)
        if largest >= SHIFTED:
            return DriftLevel.SHIFTED
        return DriftLevel.MOVED if largest >= MOVED else DriftLevel.STABLE


def measure_drift(reference: Reference, seen: Seen) -> Drift | None:
    """The indexes of what was seen; None if nothing was."""
    if not seen.images:
        return None
    return Drift(
        images=seen.images,
        classes=population_stability(reference.classes, seen.classes),
        risk=_index(reference.risk, seen.risk),
        novelty=_index(reference.novelty, seen.novelty),
    )


def _index(bins: Bins | None, counts: Sequence[int]) -> float | None:
    return population_stability(bins.shares, counts) if bins and sum(counts) else None


def population_stability(expected: Sequence[float], counts: Sequence[int]) -> float:
    """The index of counted images against expected shares, bin by bin; 0 where they are alike.

    Args:
        expected: shares, with a sum of 1.
        counts: images in each bin, one at least in all of them together.
    """
    total = sum(counts)
    pairs = [(max(share, _LEAST), max(count / total, _LEAST)) for share, count in zip(expected, counts, strict=True)]
    return sum((seen - share) * math.log(seen / share) for share, seen in pairs)
