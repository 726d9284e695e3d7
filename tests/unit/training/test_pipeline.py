"""Batches: drawn in the proportions asked for, the same for the same seed, changed but not spoilt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.experiments.base import Augmentation
from training.pipeline import evaluation_batches, training_batches
from training.targets import oversampled

LABELS = np.array([0] * 80 + [1] * 15 + [2] * 5)
PIXELS = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3)).astype(np.uint8)


def drawn(steps: int, **options: object) -> list[tuple[np.ndarray, np.ndarray]]:
    batches, _ = training_batches(PIXELS, LABELS, classes=3, batch_size=20, **options)  # type: ignore[arg-type]
    return [(images.numpy(), targets.numpy()) for images, targets in batches.take(steps)]


def test_natural_drawing_shows_each_image_once_an_epoch() -> None:
    batches, steps = training_batches(PIXELS, LABELS, classes=3, batch_size=20, seed=1)
    images = np.concatenate([images.numpy() for images, _ in batches.take(steps)])
    assert {image.astype(np.uint8).tobytes() for image in images} == {image.tobytes() for image in PIXELS}


@pytest.mark.parametrize(("balance", "expected"), [(1.0, (1 / 3, 1 / 3, 1 / 3)), (0.5, (0.593, 0.257, 0.148))])
def test_balance_draws_classes_by_the_power_of_their_share(balance: float, expected: tuple[float, ...]) -> None:
    shares = np.concatenate([targets for _, targets in drawn(100, seed=1, balance=balance)]).mean(axis=0)
    np.testing.assert_allclose(shares, expected, atol=0.04)


def test_oversampling_repeats_the_small_classes_and_loses_nothing() -> None:
    positions = oversampled(LABELS, seed=2)
    assert np.bincount(LABELS[positions]).tolist() == [80, 80, 80]
    assert set(positions.tolist()) == set(range(100))


def test_a_seed_names_a_run() -> None:
    first, again, other = (drawn(3, seed=seed, balance=0.4, augmentation=Augmentation()) for seed in (5, 5, 6))
    for (images, targets), (same_images, same_targets) in zip(first, again, strict=True):
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(targets, same_targets)
    assert not np.array_equal(first[0][0], other[0][0])


def test_augmentation_keeps_range_and_brightness_about() -> None:
    grey = np.full((20, 16, 16, 3), 120, np.uint8)
    batches, _ = training_batches(grey, np.zeros(20, np.int64), classes=2, batch_size=20, seed=3, augmentation=Augmentation())
    images = np.concatenate([images.numpy() for images, _ in batches.take(5)])
    assert images.min() >= 0
    assert images.max() <= 255
    assert abs(images.mean() - 120) < 10
    # Geometry alone leaves a plain surface plain: nothing black comes in from outside.
    only = Augmentation(brightness=0, contrast=0, saturation=0, tint=0)
    batches, _ = training_batches(grey, np.zeros(20, np.int64), classes=2, batch_size=20, seed=3, augmentation=only)
    np.testing.assert_allclose(next(iter(batches))[0].numpy(), 120, atol=1e-3)


def test_evaluation_keeps_order_and_remainder() -> None:
    images = np.concatenate([batch.numpy() for batch in evaluation_batches(PIXELS, batch_size=32)])
    np.testing.assert_array_equal(images, PIXELS)


def test_sources_with_other_classes_are_drawn_apart() -> None:
    """80 pictures of the first source, 16 of the second, with class 0 in both: half the balance draws by the square roots."""
    labels = np.array([0] * 64 + [1] * 16 + [0] * 16 + [2] * 4)
    labelled = np.ones((100, 3), np.bool_)
    labelled[80:, 1] = False
    batches, _ = training_batches(PIXELS, labels, classes=3, batch_size=20, seed=1, balance=0.5, labelled=labelled)
    targets = np.concatenate([targets.numpy() for _, targets in batches.take(200)])
    second = targets[:, 1] < 0
    assert second.mean() == pytest.approx((4 + 2) / (8 + 4 + 4 + 2), abs=0.03)
    assert targets[second].argmax(axis=1).tolist().count(0) / second.sum() == pytest.approx(4 / 6, abs=0.05)


def test_vignettes_darken_corners_and_leave_the_middle() -> None:
    white = np.full((64, 32, 32, 3), 255, np.uint8)
    only = Augmentation(brightness=0, contrast=0, saturation=0, tint=0, vignettes=0.5)
    batches, _ = training_batches(white, np.zeros(64, np.int64), classes=2, batch_size=64, seed=3, augmentation=only)
    images = next(iter(batches))[0].numpy()
    dark = images[:, 0, 0, 0] < 100
    assert 0.3 < dark.mean() < 0.7
    np.testing.assert_allclose(images[:, 16, 16], 255, atol=1.0)


def test_squares_show_the_middle_of_the_width() -> None:
    """A stripe at one eighth of the width lies outside the middle three quarters."""
    striped = np.full((64, 32, 32, 3), 255, np.uint8)
    striped[:, :, :4] = 0
    still = Augmentation(
        flip=False, rotation_degrees=0, zoom=0, stretch=0, shift=0, brightness=0, contrast=0, saturation=0, tint=0
    )
    batches, _ = training_batches(
        striped, np.zeros(64, np.int64), classes=2, batch_size=64, seed=3, augmentation=replace(still, squares=0.5)
    )
    hidden = next(iter(batches))[0].numpy().min(axis=(1, 2, 3)) > 100
    assert 0.3 < hidden.mean() < 0.7
