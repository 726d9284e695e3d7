"""The comparison on an exported version: features from its graph, and what a wrong request is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidRequestError
from serving.repository import ModelVersion
from tests.support.servers import ROOT
from training.novelty.compare import as_table, features_of_graph, main, sample
from training.scaling import apply_temperature

STARTER = ROOT / "serving" / "models" / "starter" / "1"


def test_features_of_a_graph_give_its_answers() -> None:
    import tensorflow as tf

    spec = ModelVersion("starter", 1, STARTER).spec()
    assert spec is not None
    pixels = np.random.default_rng(0).integers(0, 256, (70, spec.input_height, spec.input_width, 3)).astype(np.uint8)
    compute, head = features_of_graph(STARTER)
    features = compute(pixels)
    assert features.shape == (70, len(head.kernel))
    logits = features @ head.kernel + head.bias
    served = tf.saved_model.load(str(STARTER)).signatures["serving_default"](images=tf.constant(pixels))["probabilities"]
    softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = apply_temperature(softmax / softmax.sum(axis=1, keepdims=True), spec.temperature)
    np.testing.assert_allclose(served.numpy(), expected, atol=1e-4)


def test_pictures_of_ones_own_are_decoded_as_the_version_sees_them(tmp_path: Path) -> None:
    spec = ModelVersion("starter", 1, STARTER).spec()
    assert spec is not None
    for number in range(5):
        Image.new("RGB", (50, 40), (number, 0, 0)).save(tmp_path / f"{number}.png")
    assert sample(tmp_path, spec, 3).shape == (3, spec.input_height, spec.input_width, 3)
    with pytest.raises(InvalidRequestError):
        sample(tmp_path / "nowhere", spec)


def test_a_table_has_a_row_for_each_kind() -> None:
    row = {"pictures": 7, "auroc": 0.98765, "fpr95": 0.021, "noted": 0.5}
    lines = as_table({"kinds": {"mahalanobis": {"noise": row}, "energy": {"noise": row}}}).splitlines()
    assert lines[0] == "| pictures | number | mahalanobis | energy |"
    assert lines[2] == "| noise | 7 | 0.988, 2 %, 50 % | 0.988, 2 %, 50 % |"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["nowhere"], "expected the folder of an exported version", id="no version"),
        pytest.param(["nowhere", "--pictures", "x"], "expected NAME=PATH", id="no name"),
    ],
)
def test_what_cannot_be_compared_is_said(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert reason in capsys.readouterr().err
