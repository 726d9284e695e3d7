"""Statistics of pixels: what they are of known pictures, and that they show noise and flat colours to a detector."""

from __future__ import annotations

import numpy as np
import pytest

from training.novelty.detectors import Head
from training.novelty.methods import FITS
from training.novelty.pictures import draw_kinds
from training.novelty.statistics import STATISTICS, beside, statistics_of

HEAD = Head(np.zeros((4, 2), np.float32), np.zeros(2, np.float32))


def test_of_a_chessboard() -> None:
    """Neighbours differ by all of the range, blocks of four do not; half is white."""
    board = np.indices((16, 16)).sum(axis=0) % 2 * 255
    found = np.asarray(statistics_of(np.stack([board] * 3, axis=-1)[None].astype(np.uint8)))
    assert found.shape == (1, STATISTICS)
    assert found.dtype == np.float32
    expected = [0.5, np.log(0.501), np.log(2.001), np.log(0.001)]
    np.testing.assert_allclose(found[0], np.repeat(expected, 3), rtol=1e-5)


def test_each_channel_has_its_own() -> None:
    pixels = np.zeros((1, 8, 8, 3), np.uint8)
    pixels[..., 1] = 51
    assert np.asarray(statistics_of(pixels))[0, :3] == pytest.approx([0.0, 0.2, 0.0])


def test_noise_and_flat_colours_are_found_where_features_see_nothing() -> None:
    draw = np.random.default_rng(1)
    soft = draw.integers(60, 200, (400, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    lesions = np.clip(soft + draw.normal(0, 6, soft.shape), 0, 255).astype(np.uint8)
    features = draw.normal(size=(400, 4)).astype(np.float32)  # that know nothing
    observed = np.asarray(beside(features, lesions), np.float32)
    labels = np.arange(400) % 2
    kinds = draw_kinds(32, 32, count=50)
    aware, unaware = (FITS[name](observed, labels, HEAD) for name in ("mahalanobis_statistics", "mahalanobis"))
    limit = float(np.quantile(np.asarray(aware(observed)), 0.985))
    for name in ("noise", "flat colours"):
        of_kind = np.asarray(beside(features[:50], kinds[name]), np.float32)
        assert (np.asarray(aware(of_kind)) > limit).all()
        assert (np.asarray(unaware(of_kind)) <= np.asarray(unaware(observed[:50])) + 1e-6).all()
