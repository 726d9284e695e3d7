"""Batches by NumPy: what an epoch is drawn from, how pictures are mixed, and that a seed repeats all of it."""

from __future__ import annotations

import numpy as np
import pytest

from training.feeding import HeldOutBatches, TrainingBatches, balanced_order, mixtures
from training.mixing import mix

LABELS = np.repeat([0, 1, 2], [160, 32, 8])
PIXELS = np.random.default_rng(0).integers(0, 256, (200, 6, 8, 3)).astype(np.uint8)
TARGETS = np.eye(3, dtype=np.float32)[LABELS]


def batches(**changes: object) -> TrainingBatches:
    return TrainingBatches(PIXELS, TARGETS, LABELS, batch_size=16, seed=3, **changes)  # type: ignore[arg-type]


def epoch(found: TrainingBatches) -> np.ndarray:
    return np.concatenate([found[number][0]["images"] for number in range(len(found))])


def test_without_balance_no_picture_comes_twice_in_an_epoch() -> None:
    images = epoch(batches())
    assert images.shape == (192, 6, 8, 3)
    assert len({image.tobytes() for image in images}) == 192


def test_a_balanced_epoch_has_its_shares_and_goes_through_a_stratum_before_it_repeats() -> None:
    drawn = np.concatenate([balanced_order(LABELS, 0.5, np.random.default_rng(seed)) for seed in range(200)])
    expected = np.sqrt([160, 32, 8]) / np.sqrt([160, 32, 8]).sum()
    np.testing.assert_allclose(np.bincount(LABELS[drawn]) / len(drawn), expected, atol=0.01)
    one = balanced_order(LABELS, 1.0, np.random.default_rng(1))
    times = np.bincount(one, minlength=len(LABELS))
    for label in range(3):
        of_label = times[label == LABELS]
        assert of_label.max() - of_label.min() <= 1


def test_a_seed_repeats_its_epochs_and_epochs_differ() -> None:
    first, again = batches(balance=0.5, mixing=0.5), batches(balance=0.5, mixing=0.5)
    for _ in range(2):
        for number in (5, 0):  # whatever order the threads ask in
            (inputs, wanted), (same_inputs, same_wanted) = first[number], again[number]
            assert all(np.array_equal(inputs[name], same_inputs[name]) for name in inputs)
            assert all(np.array_equal(wanted[name], same_wanted[name]) for name in wanted)
        before = first[0][0]["images"]
        first.on_epoch_end()
        again.on_epoch_end()
        assert not np.array_equal(before, first[0][0]["images"])


def test_the_partner_is_the_batch_in_reverse_and_the_teachers_pictures_are_the_same_ones() -> None:
    wide = np.repeat(np.repeat(PIXELS, 2, axis=1), 2, axis=2)
    inputs, wanted = batches(mixing=1.0, wide=wide)[2]
    np.testing.assert_array_equal(wanted["partner"], wanted["targets"][::-1])
    np.testing.assert_array_equal(inputs["wide"][:, ::2, ::2], inputs["images"])


@pytest.mark.parametrize("mixing", [0.0, 0.3, 1.0])
def test_as_many_pictures_are_mixed_as_asked_for(mixing: float) -> None:
    mixture, share = mixtures(np.random.default_rng(5), 4000, mixing)
    assert (share < 1.0).mean() == pytest.approx(mixing, abs=0.03)
    assert share.min() >= 0.5 - 1e-6  # the label that accuracy is counted with is that of the larger part
    assert ((mixture[:, 1:] >= 0) & (mixture[:, 1:] <= 1)).all()


def test_a_picture_is_mixed_by_weight_or_by_a_box_in_the_share_that_the_targets_have() -> None:
    images = np.stack([np.full((64, 64, 3), value, np.float32) for value in (0.0, 100.0)])
    mixture = np.array([[0.75, 0, 0, 0, 0], [1.0, 0.25, 0.75, 0.0, 0.5]], np.float32)
    mixed = np.asarray(mix(images, mixture))
    np.testing.assert_allclose(mixed[0], 25.0)
    assert (mixed[1, 16:48, :32] == 0.0).all()
    assert (mixed[1, :16] == 100.0).all()
    assert (mixed[1, :, 32:] == 100.0).all()
    drawn, share = mixtures(np.random.default_rng(2), 64, 1.0)
    own = np.asarray(mix(np.stack([np.full((64, 64, 3), i % 2, np.float32) for i in range(64)]), drawn))[1::2]
    np.testing.assert_allclose(own.mean(axis=(1, 2, 3)), share[1::2, 0], atol=0.03)  # partners of odd ones are even, so 0


def test_validation_shows_each_picture_once_and_in_order() -> None:
    held_out = HeldOutBatches(PIXELS, TARGETS, batch_size=64)
    assert [len(held_out[number][0]["images"]) for number in range(len(held_out))] == [64, 64, 64, 8]
    np.testing.assert_array_equal(np.concatenate([held_out[i][0]["images"] for i in range(4)]), PIXELS)
    assert all((held_out[i][1]["share"] == 1.0).all() for i in range(4))
