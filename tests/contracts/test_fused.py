"""The net of picture and metadata on its whole way: built, trained a little, evaluated, and refused for export."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidRequestError
from tests.support.servers import ROOT
from training.architectures.registry import build
from training.evaluate import evaluate_run
from training.export import export_run
from training.metadata import MetadataEncoder
from training.runs import RunFolder
from training.train import main
from training.views import predict_run

NOTHING = (0.0, 1.0, 0.0, 1.0)
pytestmark = pytest.mark.timeout(600)


def test_two_inputs_and_a_step_that_uses_both() -> None:
    keras.utils.set_random_seed(3)
    model = build("fused", 32, 32, 3, nothing_known=NOTHING, widths=(8, 8))
    assert {tensor.name: tensor.shape[1:] for tensor in model.inputs} == {"images": (32, 32, 3), "metadata": (4,)}
    generator = np.random.default_rng(0)
    batch = {
        "images": generator.uniform(0, 255, (6, 32, 32, 3)).astype(np.float32),
        "metadata": generator.uniform(0, 1, (6, 4)).astype(np.float32),
    }
    first = model.predict(batch, verbose=0)
    np.testing.assert_allclose(first.sum(axis=1), 1.0, atol=1e-5)
    for name in batch:
        changed = {**batch, name: batch[name][::-1]}
        assert np.abs(model.predict(changed, verbose=0) - first).max() > 1e-6
    before = [weight.numpy().copy() for weight in model.trainable_weights]
    model.compile("sgd", "categorical_crossentropy", jit_compile=False)
    assert np.isfinite(model.train_on_batch(batch, np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]))
    assert all(not np.array_equal(old, new.numpy()) for old, new in zip(before, model.trainable_weights, strict=True))
    keras.backend.clear_session()


def write_ham10000(root: Path, count: int = 120) -> None:
    """Pictures that tell nothing, and an age that tells all: melanoma is old, a nevus is young, some ages are missing."""
    generator = np.random.default_rng(0)
    root.mkdir()
    with (root / "HAM10000_metadata.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"])
        for i in range(count):
            label = ("mel", "nv")[i % 2]
            age = "" if i % 20 == 3 else {"mel": "80.0", "nv": "20.0"}[label]
            rows.writerow([f"HAM_{i}", f"ISIC_{i}", label, "histo", age, ("male", "female", "unknown")[i % 3], "back"])
            Image.fromarray(generator.integers(0, 256, (24, 32, 3)).astype(np.uint8)).save(root / f"ISIC_{i}.png")


def test_the_whole_way_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_ham10000(tmp_path / "ham10000")
    command = [sys.executable, "-m", "training.train", "fused", "--data", str(tmp_path / "ham10000"), "--epochs", "12"]
    command += ["--out", str(tmp_path / "run"), "--size", "16x16"]  # in a process of its own: threads are set once in one
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    run = RunFolder(tmp_path / "run")
    record, encoder = run.record(), MetadataEncoder.load(run.path)
    assert encoder is not None
    assert encoder.values == {"sex": ("female", "male"), "site": ("back",)}
    assert len(record.history["loss"]) == 12
    # The pictures are noise: whatever is right comes from the age.
    assert evaluate_run(run, rounds=0)["screening"]["melanoma"]["auc"] > 0.8
    turned = predict_run(run, None)
    assert turned["test"].probabilities.shape == run.predictions("test").probabilities.shape
    with pytest.raises(InvalidRequestError, match="pictures alone"):
        export_run(run, model="fused", root=tmp_path / "models")
    kept = json.loads((run.path / "metadata.json").read_text(encoding="utf-8"))
    assert kept["age_median"] in (20.0, 50.0, 80.0)
    assert main(["fused", "--summary"]) == 0
    assert "metadata" in capsys.readouterr().out
    keras.backend.clear_session()
