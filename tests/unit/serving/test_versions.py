"""Refusing a model that was trained on other pixels."""

from __future__ import annotations

import pytest

from core.errors import ModelContractError
from serving.versions import check_preprocessing
from tests.support.tiny_model import tiny_spec


def test_a_model_trained_on_other_pixels_is_refused() -> None:
    check_preprocessing(tiny_spec())
    other = tiny_spec().model_copy(update={"preprocessing_hash": "0123456789ab"})
    with pytest.raises(ModelContractError, match="train and export it again"):
        check_preprocessing(other)
