"""Weights between two runs: mixed array by array, the share chosen by validation, other splits and networks refused."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import InvalidRequestError
from tests.support.finished_run import drawn_dataset, finished_run
from training import interpolate as module
from training.interpolate import SHARES, interpolate, likelihood, main, mix
from training.runs import Predictions, RunFolder

# What Keras 3.15 does with NumPy 2 when it saves and loads.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DATASET = drawn_dataset()
PIXELS = np.zeros((len(DATASET.samples), 28, 28, 3), np.uint8)
PIXELS[DATASET.label_indices() == 0] = 255  # mel is white, nv is black


def network(towards_mel: float, hidden: int = 0) -> keras.Model:
    """Answers by brightness: with a positive weight white pictures are mel."""
    inputs = keras.Input((28, 28, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 127.5, -1.0)(inputs))
    if hidden:
        pooled = keras.layers.Dense(hidden)(pooled)
    layer = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(inputs, layer(pooled))
    kernel = np.zeros(tuple(layer.kernel.shape), np.float32)
    kernel[:, 0] = towards_mel
    layer.set_weights([kernel, np.zeros(2, np.float32)])
    return model


def run_of(path: Path, model: keras.Model) -> RunFolder:
    run = finished_run(path, DATASET)
    model.save(run.model_path)
    return run


@pytest.fixture(autouse=True)
def _drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_run_images", lambda *_: (DATASET, PIXELS))


def test_mixed_array_by_array() -> None:
    mixed = mix([np.array([1.0, 2.0]), np.array([[4.0]])], [np.array([0.0, 0.0]), np.array([[8.0]])], 0.75)
    assert [each.tolist() for each in mixed] == [[0.75, 1.5], [[5.0]]]


def test_the_share_with_the_best_likelihood_on_validation_is_taken(tmp_path: Path) -> None:
    """The later weights answer the wrong way round, the earlier ones rightly: the smallest share of the later is best."""
    later, earlier = run_of(tmp_path / "later", network(-1.0)), run_of(tmp_path / "earlier", network(2.0))
    out = RunFolder(tmp_path / "out")
    found = interpolate(later, earlier, out)
    assert list(found) == list(SHARES)
    assert min(found, key=lambda share: found[share]) == 0.25
    kernel = keras.models.load_model(out.model_path, compile=False).layers[-1].get_weights()[0]
    np.testing.assert_allclose(kernel[:, 0], 0.25 * -1.0 + 0.75 * 2.0)
    assert out.record().lineage == "0.25 of the weights of lstm and 0.75 of those of lstm"
    test = out.predictions("test")
    assert (test.probabilities.argmax(axis=1) == test.labels).all()
    assert out.split() == later.split()


def test_the_likelihood_is_of_all_parts_under_one_temperature() -> None:
    sure = Predictions(np.array([0, 1]), np.array([[0.9, 0.1], [0.1, 0.9]]))
    unsure = Predictions(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]]))
    assert likelihood({"validation": sure}) < 1e-6  # what is always right is made sure
    assert likelihood({"validation": sure, "validation-other": unsure}) == pytest.approx(np.log(2) / 2, abs=1e-6)


def test_another_network_and_another_split_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run", network(1.0))
    with pytest.raises(InvalidRequestError, match="expected the network of"):
        interpolate(run, run_of(tmp_path / "wider", network(1.0, hidden=5)), RunFolder(tmp_path / "out"))
    finished_run(tmp_path / "other", drawn_dataset(count=100))
    assert main([str(run.path), str(tmp_path / "other")]) == 2
    assert "expected the split of" in capsys.readouterr().err
