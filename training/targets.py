"""What a picture's label asks of a network, and which pictures an epoch is drawn from."""

from __future__ import annotations

import numpy as np

from training.datasets.base import BoolArray, Float32Array, IntArray


def targets_of(labels: IntArray, classes: int, labelled: BoolArray | None = None) -> Float32Array:
    """float32 [n, classes]: 1 for the label, 0 for other classes, -1 for a class that the picture's source does not label."""
    targets = np.eye(classes, dtype=np.float32)[labels]
    return targets if labelled is None else np.where(labelled, targets, np.float32(-1.0))


def strata_of(labels: IntArray, labelled: BoolArray | None) -> IntArray:
    """int64 [n]: the label, or a number for the pair of label and source, where sources label different classes."""
    if labelled is None:
        return labels
    _, kinds = np.unique(labelled, axis=0, return_inverse=True)
    return np.unique(kinds.reshape(-1) * labelled.shape[1] + labels, return_inverse=True)[1].astype(np.int64)


def oversampled(labels: IntArray, seed: int) -> IntArray:
    """Positions in which every class appears as often as the largest: all its images, then random ones of them again."""
    generator = np.random.default_rng(seed)
    largest = int(np.max(np.bincount(labels)))
    drawn = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        drawn += [members, generator.choice(members, largest - len(members))]
    return np.concatenate(drawn)
