"""Every architecture: published size, input and output, one training step, export, and the same answers through the server."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from core.imaging import preprocessing_hash
from core.modelspec import ModelSpec
from serving.client import PredictClient
from tests.support.servers import accepts, free_port, running, wait_until
from training.architectures.registry import ARCHITECTURES, build
from training.architectures.transfer import BASES, thaw
from training.calibrate import apply_temperature
from training.experiments.registry import EXPERIMENTS
from training.savedmodel import write_saved_model

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
TEMPERATURE = 1.3
TRAINABLE = {"cnn28-norm": 58_412, "cnn28-oversampled": 502_983}  # as published, where parameters that do not learn are named
TRANSFER_SIDE = 75  # the smallest that every base takes: the sizes of training are not for a test


@dataclass(frozen=True)
class Case:
    id: str
    architecture: str
    height: int
    width: int
    options: dict[str, Any]


SAME_NETWORK = dict.fromkeys(("starter-lite-mixed", "starter-distilled"), "starter-lite-128")  # other ways to train it
NO_PACKAGE = {"starter-teacher"}  # its package of weights is none that DermQ installs


def _cases() -> list[Case]:
    cases = []
    for found in EXPERIMENTS.values():
        if found.metadata or found.id in SAME_NETWORK:  # two inputs, so no server can hold it: tests/contracts/test_fused.py
            continue
        transfer = found.architecture == "transfer"
        options = dict(found.options) | ({"weights": "none", "units": 16} if transfer else {})
        options |= {"weights": "none"} if found.id in NO_PACKAGE else {}
        height, width = (TRANSFER_SIDE, TRANSFER_SIDE) if transfer else (found.height, found.width)
        cases.append(Case(found.id, found.architecture, height, width, options))
    return cases


CASES = _cases()


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.id)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@dataclass
class Exports:
    """A model repository with architectures as version 1, and what Keras predicts for their images, calibrated, by case."""

    root: Path
    expected: dict[str, Any] = field(default_factory=dict)

    def build(self, case: Case) -> Any:
        """Build a model and export it as it is; returns the model."""
        keras.utils.set_random_seed(3)
        model = build(case.architecture, case.height, case.width, len(CLASSES), **case.options)
        write_saved_model(model, spec_for(case), self.root / case.id / "1")
        self.expected[case.id] = apply_temperature(predicted(model, images_for(case)), TEMPERATURE)
        return model


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Filled by `model`, so that each architecture is built once."""
    return Exports(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def model(case: Case, exports: Exports) -> Iterator[Any]:
    yield exports.build(case)
    keras.backend.clear_session()


def images_for(case: Case, count: int = 3) -> Any:
    return np.random.default_rng(4).integers(0, 256, (count, case.height, case.width, 3)).astype(np.uint8)


def predicted(model: Any, images: Any) -> Any:
    """What Keras predicts, without the seconds in which `model.predict` compiles a large graph for one call."""
    return model(images.astype(np.float32), training=False).numpy()


def spec_for(case: Case) -> ModelSpec:
    return ModelSpec(
        name=case.id,
        classes=CLASSES,
        input_height=case.height,
        input_width=case.width,
        malignant=("mel",),
        thresholds={"sensitivity_90": 0.3},
        operating_point="sensitivity_90",
        temperature=TEMPERATURE,
        preprocessing_hash=preprocessing_hash(case.height, case.width, "stretch"),
    )


def test_every_architecture_and_every_base_has_an_experiment() -> None:
    assert {found.architecture for found in EXPERIMENTS.values()} == set(ARCHITECTURES)
    assert {found.options["base"] for found in EXPERIMENTS.values() if found.architecture == "transfer"} == set(BASES)


@pytest.mark.parametrize(("one", "other"), SAME_NETWORK.items())
def test_two_experiments_train_one_network(one: str, other: str) -> None:
    networks = [
        (found.architecture, found.height, found.width, found.parameters, found.options["variant"], found.options["weights"])
        for found in (EXPERIMENTS[one], EXPERIMENTS[other])
    ]
    assert networks[0] == networks[1]


def test_parameters_are_as_published(case: Case, model: Any) -> None:
    published = EXPERIMENTS[case.id].parameters
    if published is not None:
        assert model.count_params() == published
    if case.id in TRAINABLE:
        assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == TRAINABLE[case.id]


def test_takes_pixels_and_gives_a_distribution(case: Case, model: Any) -> None:
    assert model.input_shape == (None, case.height, case.width, 3)
    assert model.output_shape == (None, len(CLASSES))
    probabilities = predicted(model, images_for(case))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)


def test_one_step_changes_what_may_learn_and_nothing_else(case: Case, model: Any) -> None:
    before = [weight.numpy().copy() for weight in model.trainable_weights]
    base = [weight.numpy().copy() for weight in model.get_layer("base").weights] if case.architecture == "transfer" else []
    model.compile("sgd", "categorical_crossentropy", run_eagerly=True)  # one step: tracing a graph for it takes longer
    loss = model.train_on_batch(images_for(case, 4).astype(np.float32), np.eye(len(CLASSES), dtype=np.float32)[:4])
    assert np.isfinite(loss)
    assert any(not np.array_equal(old, new.numpy()) for old, new in zip(before, model.trainable_weights, strict=True))
    if base:
        for old, new in zip(base, model.get_layer("base").weights, strict=True):
            np.testing.assert_array_equal(old, new.numpy())


def test_fine_tuning_thaws_the_top_but_no_batch_normalisation() -> None:
    model = build("transfer", TRANSFER_SIDE, TRANSFER_SIDE, 2, base="ResNet50V2", weights="none", units=4)
    frozen = len(model.trainable_weights)
    thaw(model, 12)
    assert len(model.trainable_weights) > frozen
    base = model.get_layer("base")
    assert not any(layer.trainable_weights for layer in base.layers[:-12])
    assert not any(layer.trainable for layer in base.layers if isinstance(layer, keras.layers.BatchNormalization))
    keras.backend.clear_session()


@pytest.fixture(scope="module")
def exported(exports: Exports) -> Exports:
    """Every architecture, those included whose tests were left out."""
    for case in CASES:
        if case.id not in exports.expected:
            exports.build(case)
            keras.backend.clear_session()
    return exports


@pytest.fixture(scope="module")
def client(exported: Exports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PredictClient]:
    folder = tmp_path_factory.mktemp("serving")
    config, port = folder / "models.config", free_port()
    entries = [
        f'config {{ name: "{case.id}" base_path: "{exported.root / case.id}" model_platform: "tensorflow" }}' for case in CASES
    ]
    config.write_text("model_config_list {\n" + "\n".join(entries) + "\n}\n")
    command = [sys.executable, "-m", "serving.embedded", f"--port={port}", f"--model_config_file={config}"]
    with running(command, log=folder / "serving.log"):
        wait_until(lambda: accepts(port), timeout_s=400, what=f"embedded serving on port {port}", poll_s=0.2)
        with PredictClient(f"127.0.0.1:{port}", timeout_s=60) as client:
            yield client


@pytest.mark.timeout(600)  # the first one exports and loads them all
@pytest.mark.parametrize("served", CASES, ids=lambda case: case.id)
def test_the_server_gives_what_keras_predicts(served: Case, client: PredictClient, exported: Exports) -> None:
    described = client.describe(served.id)
    assert described.spec == spec_for(served)
    probabilities = client.predict(served.id, 1, images_for(served), classes=len(CLASSES))
    np.testing.assert_allclose(probabilities, exported.expected[served.id], atol=1e-5)
