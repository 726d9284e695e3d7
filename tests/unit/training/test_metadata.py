"""Age, sex and site as columns: imputed and named by the training part alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidRequestError
from training.datasets.base import Sample
from training.metadata import MetadataEncoder


def sample(age: str = "", sex: str = "", site: str = "") -> Sample:
    return Sample("id", "mel", "lesion", {"age": age, "sex": sex, "site": site})


TRAINED = [sample("40", "male", "back"), sample("50.0", "female", "face"), sample("90", "male"), sample("", "", "back")]


def test_columns_and_rows_by_hand() -> None:
    encoder = MetadataEncoder.fit(TRAINED)
    assert encoder.columns == (
        "age",
        "age missing",
        "sex=female",
        "sex=male",
        "sex=unknown",
        "site=back",
        "site=face",
        "site=unknown",
    )
    deviation = np.std([40, 50, 90])
    np.testing.assert_allclose(
        encoder.encode([sample("90", "male"), sample("", "female", "face")]),
        [[40 / deviation, 0, 0, 1, 0, 0, 0, 1], [0, 1, 1, 0, 0, 0, 1, 0]],
    )


def test_what_was_never_trained_on_is_unknown() -> None:
    encoder = MetadataEncoder.fit(TRAINED)
    strange = encoder.encode([sample("abc", "diverse", "tail"), sample("nan", "", "")])
    np.testing.assert_array_equal(strange, np.stack([encoder.nothing_known()] * 2))
    np.testing.assert_array_equal(encoder.nothing_known(), [0, 1, 0, 0, 1, 0, 0, 1])


def test_it_is_kept_with_the_run(tmp_path: Path) -> None:
    assert MetadataEncoder.load(tmp_path) is None
    encoder = MetadataEncoder.fit(TRAINED)
    encoder.save(tmp_path)
    assert MetadataEncoder.load(tmp_path) == encoder


def test_data_without_ages_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="found none"):
        MetadataEncoder.fit([sample(sex="male")])
