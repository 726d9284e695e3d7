"""A pretrained base trained by the command, in a process of its own: the weights are tried before TensorFlow is set up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.servers import ROOT
from training.runs import RunFolder


@pytest.mark.timeout(600)  # two phases, each with a graph of its own
def test_packaged_weights_are_trained_on_in_both_phases(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for label in ("melanoma", "nevus"):
        (tmp_path / "tree" / label).mkdir(parents=True)
        for number in range(60):
            pixels = generator.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "tree" / label / f"{label}{number}.png")
    options = {"--data": tmp_path / "tree", "--out": tmp_path / "run", "--epochs": 1, "--size": "32x32"}
    words = [str(word) for pair in options.items() for word in pair]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "training.train", "transfer-lite0", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    run = RunFolder(tmp_path / "run")
    assert len(run.record().history["loss"]) == 2  # one epoch a phase
    np.testing.assert_allclose(run.predictions("test").probabilities.sum(axis=1), 1.0, atol=1e-5)
