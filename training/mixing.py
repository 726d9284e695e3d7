"""Mixes the pictures of a batch with one another, as `training.feeding.mixtures` says."""

from __future__ import annotations

from typing import Any

from keras import ops


def mix(images: Any, mixture: Any) -> Any:
    """Each picture of a batch with its partner mixed in: the batch in reverse order.

    Args:
        images: float32 [n, h, w, 3].
        mixture: float32 [n, 5]: the weight outside the box, then top, bottom, left, right as shares of the sides. Inside the
            box is the partner alone.

    Returns:
        float32 [n, h, w, 3].
    """
    weight, top, bottom, left, right = (ops.reshape(mixture[:, i], (-1, 1, 1, 1)) for i in range(5))
    down, across = _centres(images.shape[1], (1, -1, 1, 1)), _centres(images.shape[2], (1, 1, -1, 1))
    inside = (down >= top) & (down < bottom) & (across >= left) & (across < right)
    own = ops.where(inside, 0.0, weight)
    return images * own + ops.flip(images, axis=0) * (1.0 - own)


def _centres(size: int, shape: tuple[int, ...]) -> Any:
    return ops.reshape((ops.arange(size, dtype="float32") + 0.5) / size, shape)
