"""How unsure a model is of an image, from its probabilities alone: what rows without a risk are sorted by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LEAST = 1e-12  # 0 · log 0 is 0


def measure_uncertainty(probabilities: npt.NDArray[np.float32], *, multi_label: bool) -> npt.NDArray[np.float64]:
    """Entropy over its greatest possible value: 0 where one class is certain, 1 where all are alike.

    Args:
        probabilities: float32 [images, classes], in 0 to 1.
        multi_label: each stands for itself; then that of the class that the model is least sure of, true against not true.

    Returns:
        float64 [images], in 0 to 1.
    """
    values = probabilities.astype(np.float64)
    if multi_label:
        return (_terms(values) + _terms(1 - values)).max(axis=1) / np.log(2)  # type: ignore[no-any-return]
    whole = values / np.maximum(values.sum(axis=1, keepdims=True), _LEAST)
    return _terms(whole).sum(axis=1) / np.log(values.shape[1])  # type: ignore[no-any-return]


def _terms(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return -values * np.log(np.maximum(values, _LEAST))
