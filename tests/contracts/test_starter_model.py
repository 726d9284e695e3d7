"""The committed starter model keeps the contract of core.modelspec, in a TF1 session as TensorFlow Serving uses one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.sample import draw_samples
from core.imaging import decode_image, preprocessing_hash
from core.modelspec import (
    DESCRIBE_INPUT_ALIAS,
    DESCRIBE_OUTPUT_ALIAS,
    DESCRIBE_SIGNATURE,
    INPUT_ALIAS,
    NOVELTY_ALIAS,
    OUTPUT_ALIAS,
    ModelSpec,
)
from core.settings import ImageLimits

ROOT = Path(__file__).parents[2]
STARTER = ROOT / "serving" / "models" / "starter"
MAX_BYTES = 10_000_000
SUBSET = 400

tf = pytest.importorskip("tensorflow", reason="the served graph is run with TensorFlow")


class Served:
    """A SavedModel in a TF1 session: signatures by name, arrays in and out."""

    def __init__(self, path: Path) -> None:
        self.graph = tf.Graph()
        self.session = tf.compat.v1.Session(graph=self.graph)
        with self.graph.as_default():
            self.signatures = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(path)).signature_def

    def call(self, signature: str, **inputs: Any) -> dict[str, Any]:
        found = self.signatures[signature]
        feeds = {found.inputs[alias].name: array for alias, array in inputs.items()}
        values: dict[str, Any] = self.session.run({alias: tensor.name for alias, tensor in found.outputs.items()}, feeds)
        return values


@pytest.fixture(scope="module", params=sorted(path.name for path in STARTER.iterdir() if path.name.isdecimal()))
def version(request: pytest.FixtureRequest) -> Path:
    return STARTER / str(request.param)


@pytest.fixture(scope="module")
def served(version: Path) -> Iterator[Served]:
    served = Served(version)
    yield served
    served.session.close()


@pytest.fixture(scope="module")
def spec(served: Served) -> ModelSpec:
    answer = served.call(DESCRIBE_SIGNATURE, **{DESCRIBE_INPUT_ALIAS: np.array([b""])})[DESCRIBE_OUTPUT_ALIAS]
    assert answer.shape == (1,)
    return ModelSpec.model_validate_json(answer[0])


def test_signatures_have_the_agreed_names_types_and_shapes(served: Served, spec: ModelSpec) -> None:
    serving = served.signatures["serving_default"]
    assert list(serving.inputs) == [INPUT_ALIAS]
    assert set(serving.outputs) == {OUTPUT_ALIAS} | ({NOVELTY_ALIAS} if spec.novelty else set())
    images, probabilities = serving.inputs[INPUT_ALIAS], serving.outputs[OUTPUT_ALIAS]
    assert images.dtype == tf.uint8.as_datatype_enum
    assert [axis.size for axis in images.tensor_shape.dim] == [-1, spec.input_height, spec.input_width, 3]
    assert probabilities.dtype == tf.float32.as_datatype_enum
    assert probabilities.tensor_shape.dim[1].size == len(spec.classes)
    describe = served.signatures[DESCRIBE_SIGNATURE]
    assert list(describe.inputs) == [DESCRIBE_INPUT_ALIAS]
    assert list(describe.outputs) == [DESCRIBE_OUTPUT_ALIAS]


def test_describe_answers_a_row_for_each_row(served: Served, spec: ModelSpec) -> None:
    asked = np.array([b""] * 3)
    answer = served.call(DESCRIBE_SIGNATURE, **{DESCRIBE_INPUT_ALIAS: asked})[DESCRIBE_OUTPUT_ALIAS]
    assert [ModelSpec.model_validate_json(row) for row in answer] == [spec] * 3


def test_spec_says_what_a_worker_needs(spec: ModelSpec) -> None:
    assert spec.name == "starter"
    assert len(spec.classes) == 7
    assert set(spec.malignant) == {"akiec", "bcc", "mel"}
    assert set(spec.thresholds) >= {"sensitivity_90", "sensitivity_95"}
    assert spec.licence == "CC BY-NC 4.0"
    assert spec.git_commit.rstrip("+").isalnum()
    assert spec.preprocessing_hash == preprocessing_hash(spec.input_height, spec.input_width, spec.resize)


@pytest.mark.parametrize("batch", [1, 5])
def test_probabilities_are_a_distribution_whatever_the_pixels(served: Served, spec: ModelSpec, batch: int) -> None:
    shape = (batch, spec.input_height, spec.input_width, 3)
    random = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    for images in (random, np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)):
        probabilities = served.call("serving_default", images=images)[OUTPUT_ALIAS]
        assert probabilities.shape == (batch, len(spec.classes))
        assert probabilities.dtype == np.float32
        assert np.all(probabilities >= 0)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)


def test_files_are_small_and_tell_no_place(version: Path) -> None:
    files = [path for path in version.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
    assert not [path for path in files if b"/work/" in path.read_bytes() or b"/home/" in path.read_bytes()]


def test_card_says_data_licence_and_use(version: Path) -> None:
    card = (version / "README.md").read_text(encoding="utf-8")
    for words in ("HAM10000", "CC BY-NC 4.0", "Research use only, not a diagnosis", "skin tone", "training.train starter"):
        assert words in card


def test_better_than_the_majority_class_on_the_test_part(
    served: Served, spec: ModelSpec, version: Path, shared_data: Path
) -> None:
    images, labels = _subset_of_test_part(spec, version, shared_data / "ham10000")
    probabilities = served.call("serving_default", images=images)[OUTPUT_ALIAS]
    right = probabilities.argmax(axis=1) == labels
    majority = np.bincount(labels).max() / len(labels)
    assert right.mean() > majority
    recalls = [right[labels == label].mean() for label in np.unique(labels)]
    assert np.mean(recalls) > 2 / len(spec.classes)


def _subset_of_test_part(spec: ModelSpec, version: Path, root: Path) -> tuple[Any, Any]:
    """The first images of the test part: uint8 [n, h, w, 3] and positions of their classes."""
    from core.imaging import decode_image
    from core.settings import ImageLimits
    from training.datasets.ham10000 import load_ham10000

    test_ids = json.loads((version / "assets.extra" / "split.json").read_text(encoding="utf-8"))["test"]
    dataset = load_ham10000(root)
    assert dataset.source is not None
    here = {sample.id for sample in dataset.samples}  # a version of several sources tests on theirs too
    own = [key for key in test_ids if key in here]
    assert len(own) == 2_005
    chosen = np.random.default_rng(0).permutation(dataset.positions(own))[:SUBSET]
    with dataset.source.open() as reader:
        images = [
            decode_image(
                reader.read(i), height=spec.input_height, width=spec.input_width, resize=spec.resize, limits=ImageLimits()
            )
            for i in chosen
        ]
    return np.stack([image.pixels for image in images]), dataset.label_indices()[chosen]


def test_the_newest_version_agrees_with_the_drawn_classes_more_often_than_not() -> None:
    newest = Served(max(STARTER.iterdir(), key=lambda path: int(path.name) if path.name.isdecimal() else 0))
    drawn = draw_samples(42)  # the demo's
    [answer] = newest.call(DESCRIBE_SIGNATURE, **{DESCRIBE_INPUT_ALIAS: np.array([b""])})[DESCRIBE_OUTPUT_ALIAS]
    spec = ModelSpec.model_validate_json(answer)
    pixels = [
        decode_image(data, height=spec.input_height, width=spec.input_width, resize=spec.resize, limits=ImageLimits()).pixels
        for _, data in drawn
    ]
    labels = newest.call("serving_default", **{INPUT_ALIAS: np.stack(pixels)})[OUTPUT_ALIAS].argmax(axis=1)
    newest.session.close()
    agreed = sum(spec.classes[label] == name.split("_")[0] for label, (name, _) in zip(labels, drawn, strict=True))
    assert agreed > len(drawn) / 2
