"""A network in training: the loss by hand, teachers, the same view at two sizes, and the same figures on JAX."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from core.errors import InvalidRequestError
from training import fitting
from training.architectures.registry import build
from training.augment import COLUMNS, augment, draw_from
from training.datasets.base import Dataset, Sample
from training.experiments.base import Augmentation, Experiment
from training.experiments.registry import find_experiment
from training.fitting import Arrays, Fitting, _by_trainee, fit
from training.runs import RunFolder, RunRecord
from training.splits import Split
from training.train import Options, _how
from training.trainee import Trainee

SMALL = {"widths": (4, 8), "blocks": (1, 1)}


def experiment(**changes: object) -> Experiment:
    found = replace(find_experiment("starter"), height=16, width=16, batch_size=8, options=SMALL, **changes)  # type: ignore[arg-type]
    return replace(found, ema_momentum=0.9)


def net(size: int = 16, seed: int = 1) -> Any:
    keras.utils.set_random_seed(seed)
    return build("starter", size, size, 3, **SMALL)


def batch(count: int = 6) -> tuple[dict[str, Any], dict[str, Any]]:
    generator = np.random.default_rng(0)
    mixture = np.tile(np.array([0.75, 0, 0, 0, 0], np.float32), (count, 1))
    targets = np.eye(3, dtype=np.float32)[np.arange(count) % 3]
    inputs = {
        "images": generator.integers(0, 256, (count, 16, 16, 3)).astype(np.uint8),
        "draws": generator.random((count, COLUMNS), np.float32),
        "mixture": mixture,
    }
    return inputs, {"targets": targets, "partner": targets[::-1], "share": np.full((count, 1), 0.75, np.float32)}


def test_the_loss_is_what_the_formula_says() -> None:
    trainee = Trainee(net(), experiment(label_smoothing=0.0, teaching=0.25), [net(seed=2)])
    _, wanted = batch()
    answers = np.random.default_rng(1).dirichlet(np.ones(3), 6).astype(np.float32)
    taught = np.random.default_rng(2).dirichlet(np.ones(3), 6).astype(np.float32)
    own = -(wanted["targets"] * np.log(answers)).sum(1)
    partner = -(wanted["partner"] * np.log(answers)).sum(1)
    towards = -(taught * np.log(answers)).sum(1)
    expected = (0.75 * (0.75 * own + 0.25 * partner) + 0.25 * towards).mean()
    found = trainee.compute_loss(y=wanted, y_pred={"answers": answers, "taught": taught})
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    untaught = trainee.compute_loss(y=wanted, y_pred={"answers": answers})
    assert float(untaught) == pytest.approx(float((0.75 * own + 0.25 * partner).mean()), rel=1e-5)


def test_teachers_answer_for_the_same_views_in_their_mean_and_learn_nothing() -> None:
    still = Augmentation(False, 0, 0, 0, 0, 0, 0, 0, 0)
    teachers = [net(size=32, seed=seed) for seed in (2, 3)]
    trainee = Trainee(net(), experiment(augmentation=still, teaching=1.0), teachers)
    inputs, _ = batch()
    inputs["mixture"][:, 0] = 1.0
    inputs["wide"] = np.repeat(np.repeat(inputs["images"], 2, axis=1), 2, axis=2)
    found = trainee(inputs, training=True)
    expected = np.mean([teacher(inputs["wide"].astype(np.float32), training=False) for teacher in teachers], axis=0)
    np.testing.assert_allclose(np.asarray(found["taught"]), expected, rtol=1e-3, atol=1e-4)
    assert len(trainee.trainable_variables) == len(trainee.model.trainable_variables)


def test_the_same_draws_give_the_same_view_at_two_sizes() -> None:
    small = np.zeros((5, 24, 24, 3), np.float32)
    small[:, 4:8, 12:16] = 200.0
    large = np.repeat(np.repeat(small, 3, axis=1), 3, axis=2)
    draw = draw_from(np.random.default_rng(4).random((5, COLUMNS), np.float32))
    views, wide = (np.asarray(augment(images, draw, Augmentation())) for images in (small, large))
    shrunk = wide.reshape(5, 24, 3, 24, 3, 3).mean(axis=(2, 4))
    assert np.abs(shrunk - views).mean() < 0.1 * np.abs(views - views[::-1]).mean()


def test_a_taught_run_follows_its_teachers(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 3)).astype(np.uint8)
    pixels[..., 0] = (np.arange(48) % 3 * 120)[:, None, None]
    parts = {name: Arrays(pixels, np.arange(48) % 3, wide=pixels) for name in ("train", "validation")}
    teacher = net(seed=7)
    before = [np.array(weight) for weight in teacher.get_weights()]
    how = Fitting(epochs=3, seed=1, threads=1, teachers=(teacher,))
    recipe = experiment(teaching=1.0, mixing=0.5, augmentation=Augmentation(), learning_rate=0.02)
    history = fit(net(), recipe, parts, fitting=how, backup=tmp_path / "backup")
    assert history["loss"][-1] < history["loss"][0]
    assert [len(values) for values in history.values()] == [3] * 6
    for weight, after in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, after)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras saves with numpy 1's protocol
def test_a_run_on_mixed_pictures_goes_on_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 3)).astype(np.uint8)
    parts = {name: Arrays(pixels, np.arange(48) % 3) for name in ("train", "validation")}
    how, recipe = Fitting(epochs=3, seed=1, threads=1, resume=True), experiment(mixing=0.5)

    def interrupt(callback: Any, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fitting._EpochsFile, "on_epoch_begin", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(net(), recipe, parts, fitting=how, backup=tmp_path / "backup")
    before = [json.loads(line)["figures"]["loss"] for line in (tmp_path / "backup.jsonl").read_text().splitlines()]
    history = fit(net(seed=9), recipe, parts, fitting=how, backup=tmp_path / "backup")
    assert history["loss"][:2] == before
    assert len(history["loss"]) == 3


@pytest.mark.parametrize(
    ("changes", "teachers", "message"),
    [
        ({"teaching": 0.5}, (), "expected runs of teachers"),
        ({"mixing": 0.5, "class_weights": True}, (), "expected a net of pictures alone"),
        ({"mixing": 0.5}, ("one",), "expected no teachers, got 1"),
    ],
    ids=["no-teachers", "class-weights", "teachers-for-nothing"],
)
def test_what_cannot_be_trained_so_is_refused(
    changes: dict[str, Any], teachers: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    pixels = np.zeros((8, 16, 16, 3), np.uint8)
    parts = {name: Arrays(pixels, np.arange(8) % 3) for name in ("train", "validation")}
    how = Fitting(epochs=1, seed=1, threads=1, teachers=teachers)
    with pytest.raises(InvalidRequestError, match=message):
        fit(net(), experiment(**{"mixing": 0.1, **changes}), parts, fitting=how, backup=tmp_path / "backup")


def test_teachers_see_the_pictures_that_oversampling_chose() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3)).astype(np.uint8)
    part = Arrays(pixels, np.repeat([0, 1, 2], [16, 6, 2]), wide=255 - pixels)
    how = Fitting(epochs=1, seed=1, threads=1, teachers=(net(seed=7),))
    course = _by_trainee(net(), experiment(teaching=0.5, oversample=True), {"train": part, "validation": part}, how)
    assert course.steps == 3 * 16 // 8
    for number in range(course.steps):
        inputs, wanted = course.batches[number]
        np.testing.assert_array_equal(inputs["wide"], 255 - inputs["images"])
        for image, target in zip(inputs["images"], wanted["targets"], strict=True):
            [position] = np.flatnonzero((pixels == image).all(axis=(1, 2, 3)))
            assert target.argmax() == part.labels[position]


def teacher_run(folder: Path, classes: tuple[str, ...], split: Split) -> Path:
    """A run without its model, which is not looked at before the rest is in order."""
    how = {"architecture": "starter", "dataset": "drawn", "licence": "", "malignant": (), "resize": "stretch"}
    sizes = {"height": 16, "width": 16, "seed": 1, "epochs": 1, "parameters": 1}
    record = RunRecord(
        experiment="starter", classes=classes, preprocessing_hash="", split="", git_commit="", versions={}, **how, **sizes
    )
    RunFolder(folder).save(record, split)
    return folder


@pytest.mark.parametrize(
    ("classes", "train", "message"),
    [
        (("mel", "nv", "bkl"), ("a",), "expected the classes"),
        (("bkl", "mel", "nv"), ("a", "c"), r"1 of those pictures \(first: c\)"),
    ],
    ids=["other-order-of-classes", "trained-on-a-test-picture"],
)
def test_a_teacher_of_other_classes_or_of_held_out_pictures_is_refused(
    tmp_path: Path, classes: tuple[str, ...], train: tuple[str, ...], message: str
) -> None:
    samples = tuple(Sample(key, label, key) for key, label in zip("abc", ("bkl", "mel", "nv"), strict=True))
    dataset = Dataset("drawn", "Drawn", "", ("bkl", "mel", "nv"), (), samples)
    split = Split("grouped", 7, "drawn", ("a",), ("b",), ("c",))
    run = teacher_run(tmp_path / "run", classes, replace(split, train=train, test=()))
    with pytest.raises(InvalidRequestError, match=message):
        _how(fitting, experiment(teaching=0.5), Options(teachers=(run,)), dataset, split)


ON_JAX = """
import json, sys
import keras, numpy as np
from tests.unit.training.test_trainee import batch, experiment, net
from training.trainee import Trainee
from training.experiments.base import Augmentation
trainee = Trainee(net(), experiment(augmentation=Augmentation(squares=0.5, vignettes=0.5)))
weights = np.load(sys.argv[1])
trainee.model.set_weights([weights[name] for name in sorted(weights.files)])
inputs, wanted = batch()
seen = np.asarray(trainee._changed(inputs["images"], inputs))
answers = trainee(inputs, training=False)
print(json.dumps({"backend": keras.backend.backend(), "loss": float(trainee.compute_loss(y=wanted, y_pred=answers)),
                  "seen": seen[:, ::5, ::5].ravel().tolist()}))
"""


def test_jax_sees_the_same_pictures_and_the_same_loss(tmp_path: Path) -> None:
    model = net()
    np.savez(tmp_path / "weights.npz", **{f"{i:03d}": weight for i, weight in enumerate(model.get_weights())})
    found = {}
    for backend in ("jax", "tensorflow"):
        answer = subprocess.run(
            [sys.executable, "-c", ON_JAX, str(tmp_path / "weights.npz")],
            env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        )
        found[backend] = json.loads(answer.stdout)
        assert found[backend]["backend"] == backend
    assert found["jax"]["loss"] == pytest.approx(found["tensorflow"]["loss"], rel=1e-4)
    np.testing.assert_allclose(found["jax"]["seen"], found["tensorflow"]["seen"], atol=0.5)


TRAIN_ON_JAX = """
import sys
from pathlib import Path
import numpy as np
from tests.unit.training.test_trainee import experiment, net
from training.fitting import Arrays, Fitting, fit, predict, with_tensorflow
assert not with_tensorflow()
pixels = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3)).astype(np.uint8)
parts = {name: Arrays(pixels, np.arange(32) % 3) for name in ("train", "validation")}
model = net()
history = fit(model, experiment(mixing=0.5), parts, fitting=Fitting(epochs=2, seed=1, threads=1), backup=Path(sys.argv[1]))
answers = predict(model, pixels)
assert answers.shape == (32, 3) and np.allclose(answers.sum(axis=1), 1.0, atol=1e-5), answers
print(sorted(history), len(history["loss"]))
"""


def test_a_run_on_jax_comes_to_its_end(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", TRAIN_ON_JAX, str(tmp_path / "backup")],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert answer.stdout.splitlines()[-1] == "['accuracy', 'loss', 'recall', 'val_accuracy', 'val_loss', 'val_recall'] 2"
