"""From arrays in memory to batches: drawing (natural, balanced, oversampled), augmentation, prefetch.

The random numbers of drawing and augmentation come from one seed each, in a fixed order: the same seed gives the same batches.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from training.augment import augment
from training.datasets.base import BoolArray, Float32Array, FloatArray, IntArray, UInt8Array
from training.experiments.base import Augmentation
from training.targets import oversampled, strata_of, targets_of


def training_batches(
    pixels: UInt8Array,
    labels: IntArray,
    *,
    classes: int,
    batch_size: int,
    seed: int,
    balance: float = 0.0,
    oversample: bool = False,
    augmentation: Augmentation | None = None,
    metadata: FloatArray | None = None,
    labelled: BoolArray | None = None,
) -> tuple[Any, int]:
    """An endless `tf.data.Dataset` of (float32 [b, h, w, 3] in 0…255, targets [b, classes]), and the steps of an epoch.

    Args:
        pixels: uint8 [n, h, w, 3].
        labels: int64 [n].
        classes: how many classes there are.
        batch_size: images a batch.
        seed: of drawing and augmentation.
        balance: 0 draws each image once an epoch; above that a class is drawn in proportion to its share to the power of
            (1 - balance), so that 1 draws all classes equally often.
        oversample: repeat random images of the smaller classes until each is as large as the largest; an epoch grows with it.
        augmentation: what to change, or None.
        metadata: float [n, columns], of `training.metadata`; batches are then a dict of `images` and `metadata`.
        labelled: bool [n, classes], for pictures of several sources: which classes the source labels. Targets are then of
            `training.targets.targets_of`, and a balance is drawn over the classes of each source apart.
    """
    images, targets = tf.constant(np.asarray(pixels)), tf.constant(targets_of(labels, classes, labelled))
    positions = oversampled(labels, seed) if oversample else np.arange(len(labels))
    drawn = _draw(strata_of(labels, labelled), balance, seed) if balance > 0 else _shuffled(positions, seed)
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=False).batch(2, drop_remainder=True)

    known = None if metadata is None else tf.constant(metadata, tf.float32)

    def load(positions: Any, batch_seed: Any) -> tuple[Any, Any]:
        batch = tf.cast(tf.gather(images, positions), tf.float32)
        if augmentation is not None:
            batch = augment(batch, partial(_stateless, batch_seed), augmentation)
        if known is not None:
            batch = {"images": batch, "metadata": tf.gather(known, positions)}
        return batch, tf.gather(targets, positions)

    batches = tf.data.Dataset.zip(drawn.batch(batch_size, drop_remainder=True), seeds)
    return batches.map(load, num_parallel_calls=2, deterministic=True).prefetch(4), max(1, len(positions) // batch_size)


def _stateless(seed: Any, shape: Any, stream: int, low: float, high: float) -> Any:
    return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(seed, stream), low, high)


def _shuffled(positions: IntArray, seed: int) -> Any:
    stream = tf.data.Dataset.from_tensor_slices(positions)
    return stream.shuffle(len(positions), seed=seed, reshuffle_each_iteration=True).repeat()


def _draw(labels: IntArray, balance: float, seed: int) -> Any:
    present = np.unique(labels)
    counts = np.array([(labels == label).sum() for label in present], dtype=np.float64)
    weights = counts ** (1.0 - balance)
    streams = [
        tf.data.Dataset.from_tensor_slices(np.flatnonzero(labels == label))
        .shuffle(int(count), seed=seed + 1 + int(label), reshuffle_each_iteration=True)
        .repeat()
        for label, count in zip(present, counts, strict=True)
    ]
    return tf.data.Dataset.sample_from_datasets(streams, weights=list(weights / weights.sum()), seed=seed)


def evaluation_batches(pixels: UInt8Array, batch_size: int = 128, metadata: FloatArray | None = None) -> Any:
    """A `tf.data.Dataset` of float32 [b, h, w, 3] in 0…255, in order, each image once; with metadata as a dict of both."""

    def load(start: Any) -> Any:
        return tf.cast(tf.numpy_function(lambda i: np.asarray(pixels[i : i + batch_size]), [start], tf.uint8), tf.float32)

    shape = (None, *pixels.shape[1:])
    starts = tf.data.Dataset.range(0, len(pixels), batch_size)
    images = starts.map(load).map(lambda batch: tf.ensure_shape(batch, shape))
    if metadata is not None:
        known = tf.data.Dataset.from_tensor_slices(tf.constant(metadata, tf.float32)).batch(batch_size)
        images = tf.data.Dataset.zip({"images": images, "metadata": known})
    return images.prefetch(2)


def validation_batches(pixels: UInt8Array, targets: Float32Array, metadata: FloatArray | None = None) -> Any:
    """A `tf.data.Dataset` of those of `evaluation_batches` with their targets, float32 [b, classes]."""
    wanted = tf.data.Dataset.from_tensor_slices(targets).batch(128)
    return tf.data.Dataset.zip(evaluation_batches(pixels, 128, metadata), wanted)
