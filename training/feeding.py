"""Batches by NumPy, for the trainee: the same on every backend of Keras. `training.pipeline` is the way of TensorFlow alone.

Pictures travel as uint8 and are changed where the network is. The random numbers of an epoch's batch come from the seed, the
epoch and the batch's number, so that they do not depend on which thread makes it.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from training.augment import COLUMNS
from training.datasets.base import Float32Array, FloatArray, IntArray, UInt8Array


class TrainingBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Per batch: inputs and wanted answers, both dicts.

    Inputs: `images` uint8 [b, h, w, 3], `wide` the same at the teachers' size where there are teachers, `draws` float32
    [b, COLUMNS] in 0…1 for `training.augment`, `mixture` float32 [b, 5] for `training.mixing`.
    Wanted: `targets` and `partner` (those of the picture mixed in) float32 [b, classes], `share` float32 [b, 1], how much of
    the picture is its own.

    Args:
        pixels: uint8 [n, h, w, 3].
        targets: float32 [n, classes], of `training.targets.targets_of`.
        strata: int64 [n], whose shares `balance` changes.
        batch_size: images a batch.
        seed: of everything random.
        balance: as of `training.pipeline.training_batches`.
        mixing: share of the pictures that another one is mixed into.
        wide: uint8 [n, h', w', 3], or None.
    """

    def __init__(
        self,
        pixels: UInt8Array,
        targets: Float32Array,
        strata: IntArray,
        *,
        batch_size: int,
        seed: int,
        balance: float = 0.0,
        mixing: float = 0.0,
        wide: UInt8Array | None = None,
    ) -> None:
        super().__init__(workers=2, max_queue_size=16)
        self._pixels, self._targets, self._strata, self._wide = pixels, targets, strata, wide
        self._batch_size, self._seed, self._balance, self._mixing = batch_size, seed, balance, mixing
        self._epoch, self._order = 0, self._drawn(0)

    def __len__(self) -> int:
        return max(1, len(self._targets) // self._batch_size)

    def __getitem__(self, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
        positions = self._order[number * self._batch_size : (number + 1) * self._batch_size]
        generator = np.random.default_rng((self._seed, self._epoch, number))
        draws = generator.random((len(positions), COLUMNS), np.float32)
        mixture, share = mixtures(generator, len(positions), self._mixing)
        inputs = {"images": self._pixels[positions], "draws": draws, "mixture": mixture}
        if self._wide is not None:
            inputs["wide"] = self._wide[positions]
        targets = self._targets[positions]
        return inputs, {"targets": targets, "partner": targets[::-1], "share": share}

    def on_epoch_end(self) -> None:
        """Draws the next epoch's order."""
        self._epoch += 1
        self._order = self._drawn(self._epoch)

    def _drawn(self, epoch: int) -> IntArray:
        generator = np.random.default_rng((self._seed, epoch, len(self._targets)))
        if not self._balance:
            return generator.permutation(len(self._targets))
        return balanced_order(self._strata, self._balance, generator)


def balanced_order(strata: IntArray, balance: float, generator: np.random.Generator) -> IntArray:
    """int64 [n]: an epoch in which each stratum has a part in proportion to its share to the power of (1 - balance).

    No picture comes again before all of its stratum came.
    """
    numbers, counts = np.unique(strata, return_counts=True)
    weights = counts.astype(np.float64) ** (1.0 - balance)
    wanted = generator.multinomial(len(strata), weights / weights.sum())
    drawn = [_cycled(np.flatnonzero(strata == number), count, generator) for number, count in zip(numbers, wanted, strict=True)]
    return generator.permutation(np.concatenate(drawn))


def _cycled(members: IntArray, count: int, generator: np.random.Generator) -> IntArray:
    rounds = -(-count // len(members))
    return np.concatenate([generator.permutation(members) for _ in range(rounds)] or [members[:0]])[:count]


def mixtures(generator: np.random.Generator, count: int, mixing: float) -> tuple[Float32Array, Float32Array]:
    """Which pictures get another one mixed in, and how: half by weight (mixup), half by a box (CutMix).

    Zhang et al. 2018 with Beta(0.4, 0.4), the larger weight to the picture itself; Yun et al. 2019, an area of up to a half.

    Args:
        generator: of the random numbers.
        count: pictures.
        mixing: share of the pictures.

    Returns:
        float32 [count, 5]: the weight outside the box, then the box's top, bottom, left and right as shares of the sides; and
        float32 [count, 1]: how much of the mixed picture is the picture's own.
    """
    chosen, boxed = generator.random(count) < mixing, generator.random(count) < 0.5
    weight = generator.beta(0.4, 0.4, count)
    weight = np.where(chosen & ~boxed, np.maximum(weight, 1.0 - weight), 1.0)
    side = np.where(chosen & boxed, np.sqrt(generator.uniform(0.0, 0.5, count)), 0.0)
    top, left = (generator.random(count) * (1.0 - side) for _ in range(2))
    mixture = np.stack([weight, top, top + side, left, left + side], axis=1).astype(np.float32)
    return mixture, (weight * (1.0 - side**2)).astype(np.float32)[:, None]


class HeldOutBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Pictures in order, each once, without a change; for validation of the trainee.

    Args:
        pixels: uint8 [n, h, w, 3].
        targets: float32 [n, classes].
        batch_size: images a batch.
    """

    def __init__(self, pixels: UInt8Array, targets: Float32Array, batch_size: int = 128) -> None:
        super().__init__()
        self._pixels, self._targets, self._batch_size = pixels, targets, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self._targets) / self._batch_size)

    def __getitem__(self, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
        taken = slice(number * self._batch_size, (number + 1) * self._batch_size)
        targets = self._targets[taken]
        whole = np.ones((len(targets), 1), np.float32)
        return {"images": self._pixels[taken]}, {"targets": targets, "partner": targets, "share": whole}


def answers_of(model: Any, pixels: UInt8Array, batch_size: int = 128) -> FloatArray:
    """float32 [n, classes]: what a model answers for pixels uint8 [n, h, w, 3], on any backend."""
    starts = range(0, len(pixels), batch_size)
    batches = [model.predict_on_batch(np.asarray(pixels[i : i + batch_size], np.float32)) for i in starts]
    answers: FloatArray = np.concatenate(batches)
    return answers
