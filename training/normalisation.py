"""Statistics of batch normalisation for averaged weights.

An average of weights over many steps is not the network that the moving means and variances were collected with: those are of
its last steps. They are collected again with the averaged weights (Izmailov et al. 2018, arXiv 1803.05407, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import keras


def collect_statistics(model: Any, batches: Any, count: int) -> None:
    """Sets every moving mean and variance to its mean over batches, as the network sees them in training.

    Args:
        model: what is trained; changed in place. Its other weights stay.
        batches: of training, a `keras.utils.PyDataset` or a `tf.data.Dataset` of (inputs, wanted).
        count: how many batches; fewer where there are fewer.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    usual = [layer.momentum for layer in layers]
    try:
        for number, inputs in enumerate(islice(_inputs(batches), count)):
            for layer in layers:
                layer.momentum = number / (number + 1)  # a running mean: the first batch replaces what was there
            model(inputs, training=True)
    finally:
        for layer, momentum in zip(layers, usual, strict=True):
            layer.momentum = momentum


def _inputs(batches: Any) -> Iterator[Any]:
    if isinstance(batches, keras.utils.PyDataset):
        return (batches[number][0] for number in range(len(batches)))
    return (inputs for inputs, *_ in batches)
