"""`dermq models wrap`: what is written answers as the foreign model does, and what cannot be known is asked for by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from cli.commands.models import models
from core.errors import InvalidRequestError
from core.modelspec import ModelSpec
from serving.lifecycle.golden import Golden
from serving.repository import ModelVersion
from tests.support.foreign_models import SIX, ForeignModel, keras_export, residual_onnx, tf1_saved_model
from training.wrapping.foreign import open_foreign

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras saves with numpy 1's protocol
]


def wrap(foreign: ForeignModel, root: Path, *more: str, options: tuple[str, ...] | None = None) -> Any:
    """`dermq models wrap` in this process; the report, or the error."""
    chosen = foreign.options if options is None else options
    names = root / "names.txt"
    names.parent.mkdir(parents=True, exist_ok=True)
    names.write_text("\n".join(foreign.classes))
    given = ["wrap", str(foreign.path), "--name", "theirs", "--classes", f"@{names}", "--root", str(root), "--json"]
    done = CliRunner().invoke(models, [*given, *chosen, *more])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def images_of(foreign: ForeignModel, count: int = 5) -> Any:
    return np.random.default_rng(8).integers(0, 256, (count, *foreign.size, 3), dtype=np.uint8)


def served(path: Path, images: Any) -> Any:
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert {name: spec.dtype for name, spec in signature.structured_input_signature[1].items()} == {"images": tf.uint8}
    return signature(images=tf.constant(images))["probabilities"].numpy()


@pytest.mark.parametrize("kind", SIX)
def test_a_wrapped_model_answers_as_the_model_does(kind: str, tmp_path: Path) -> None:
    foreign = SIX[kind](tmp_path)
    report = wrap(foreign, tmp_path / "exports")
    target = tmp_path / "exports" / "theirs" / "1"
    assert (report["path"], report["next"]) == (str(target), f"dermq models add theirs {target}")
    images = images_of(foreign)
    found = served(target, images)
    np.testing.assert_allclose(found, foreign.answers(images), atol=2e-5)
    assert np.ptp(found, axis=0).max() > 0.01, "a model that answers all alike proves nothing"
    spec = ModelVersion("theirs", 1, target).spec()
    assert spec is not None
    assert (spec.classes, spec.malignant, (spec.input_height, spec.input_width)) == (
        foreign.classes,
        foreign.malignant,
        foreign.size,
    )
    assert spec.has_risk == bool(foreign.malignant) == (spec.threshold is not None)
    golden = Golden.load(ModelVersion("theirs", 1, target))
    assert golden is not None
    assert golden.compare(served(target, golden.images), None, kind) < 1e-5
    described = tf.saved_model.load(str(target)).signatures["describe"](query=tf.constant([b"", b""]))["spec"].numpy()
    assert [ModelSpec.model_validate_json(text) for text in described] == [spec, spec]
    assert (target / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 0
    assert "DermQ has not measured this model" in (target / "README.md").read_text()
    assert len(report["samples"]) == 7
    assert all(len(each["top"]) == min(3, len(foreign.classes)) for each in report["samples"])


@pytest.mark.parametrize("use_resource", [False, True], ids=["ref variables", "resource variables"])
def test_both_kinds_of_tensorflow_1s_variables(tmp_path: Path, use_resource: bool) -> None:
    foreign = tf1_saved_model(tmp_path, use_resource=use_resource)
    wrap(foreign, tmp_path / "exports")
    images = images_of(foreign)
    found = served(tmp_path / "exports" / "theirs" / "1", images)
    np.testing.assert_allclose(found, foreign.answers(images), atol=1e-5)


def test_a_second_wrap_is_the_next_version(tmp_path: Path) -> None:
    foreign = tf1_saved_model(tmp_path)
    numbers = [Path(wrap(foreign, tmp_path / "exports")["path"]).name for _ in range(2)]
    assert numbers == ["1", "2"]
    first, second = (json.loads((tmp_path / f"exports/theirs/{n}/assets.extra/spec.json").read_text()) for n in numbers)
    assert first == second


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> ForeignModel:
    return keras_export(tmp_path_factory.mktemp("ten"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "give --scale 0-1|-1-1|imagenet|none"),
        (("--scale", "0-1", "--size", "32x32"), "--size 32x32: the model takes only 'photo' float32"),
        (("--scale", "0-1", "--layout", "nchw"), "--layout nchw: expected three colours there"),
        (
            ("--scale", "0-1", "--output", "probabilities"),
            "--output probabilities: the model answers sample images with values from",
        ),
        (("--scale", "0-1", "--malignant", "mel", "--threshold", "1"), "--malignant: .* are not among --classes"),
        (("--scale", "0-1", "--malignant", "c001"), "--threshold: a model with malignant classes needs the risk"),
        (("--scale", "0-1", "--threshold", "0.5"), "no class is named by --malignant"),
        (("--scale", "0-1", "--malignant", "c001", "--threshold", "50"), "expected values from 0 to 1"),
        (("--scale", "0-1", "--signature", "predict"), "--signature: the model has .*'predict' is none of them"),
        (("--scale", "0-1", "--output-name", "y"), "--output-name: the model has 1 outputs"),
    ],
    ids=["scale", "size", "layout", "output", "malignant", "threshold", "no risk", "range", "signature", "output name"],
)
def test_what_is_not_known_or_contradicts_is_named(
    ten: ForeignModel, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        wrap(ten, tmp_path, options=options)
    assert not list(tmp_path.glob("theirs/*")), "nothing is left of it"


def test_the_number_of_classes_must_be_the_models(ten: ForeignModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="--classes: the model has 10 outputs, and 9 names were given"):
        wrap(replace(ten, classes=ten.classes[:9]), tmp_path)


@pytest.mark.parametrize(
    ("activation", "units"),
    [("softmax", 4), (None, 4), ("sigmoid", 1)],
    ids=["softmax", "logits", "one sigmoid"],
)
def test_a_keras_file_is_explained(tmp_path: Path, activation: str | None, units: int) -> None:
    """The maps are the class activation maps of Zhou et al. 2016, computed here from the model's own features and kernel."""
    keras.utils.set_random_seed(4)
    image = keras.Input((16, 16, 3), name="x")
    convolved = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    drawn = keras.initializers.RandomNormal(stddev=9.0)
    scores = keras.layers.Dense(units, activation, kernel_initializer=drawn)(keras.layers.GlobalAveragePooling2D()(convolved))
    model = keras.Model(image, scores)
    model.save(tmp_path / "net.keras")
    classes = ("benign", "malignant") if units == 1 else tuple("abcd")
    foreign = ForeignModel(tmp_path / "net.keras", classes, ("--scale", "0-1"), (16, 16), lambda images: images)
    report = wrap(foreign, tmp_path / "exports", "--output", "probabilities" if activation else "logits")
    assert report["unexplained"] is None
    images = images_of(foreign, 3)
    features = keras.Model(image, convolved)(images / np.float32(255)).numpy()
    assert report["spec"]["explain"] == {"method": "grad_cam", "height": features.shape[1], "width": features.shape[2]}
    kernel = model.layers[-1].kernel.numpy()
    kernel = np.concatenate([-kernel, kernel], axis=1) if units == 1 else kernel
    expected = np.maximum(features @ kernel, 0)
    highest = expected.max(axis=(1, 2), keepdims=True)
    expected = np.divide(expected, highest, out=np.zeros_like(expected), where=highest > 0)
    loaded = tf.saved_model.load(report["path"])
    found = loaded.signatures["explain"](images=tf.constant(images))["maps"].numpy()
    assert found.shape == (3, *features.shape[1:3], len(classes))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.max() == 1.0


def test_what_cannot_be_explained_says_why(ten: ForeignModel, tmp_path: Path) -> None:
    report = wrap(ten, tmp_path)
    assert report["unexplained"] == "A SavedModel does not tell its layers: its answers cannot be explained."
    assert report["spec"]["explain"] is None
    assert "explain" not in tf.saved_model.load(report["path"]).signatures


def net(activation: str | None, *, units: int = 4, side: int | None = 16) -> Any:
    keras.utils.set_random_seed(9)
    image = keras.Input((side, side, 3), name="x")
    return keras.Model(image, keras.layers.Dense(units, activation)(keras.layers.GlobalAveragePooling2D()(image)))


def written(folder: Path, model: Any, *classes: str) -> ForeignModel:
    model.save(folder / "their.keras")
    return ForeignModel(folder / "their.keras", classes, (), (16, 16), lambda images: images)


FOUR = ("a", "b", "c", "d")


def test_a_sigmoid_that_is_not_said_to_be_one_is_asked_for(tmp_path: Path) -> None:
    theirs = written(tmp_path, net("sigmoid"), *FOUR)
    unit = ("--scale", "0-1")
    with pytest.raises(InvalidRequestError, match=r"give --output logits\|probabilities \(and --multi-label"):
        wrap(theirs, tmp_path, options=unit)
    with pytest.raises(InvalidRequestError, match="not to 1: give --multi-label"):
        wrap(theirs, tmp_path, options=(*unit, "--output", "probabilities"))
    spec = wrap(theirs, tmp_path, options=(*unit, "--output", "probabilities", "--multi-label"))["spec"]
    assert spec["multi_label"] is True


def test_softmax_is_not_taken_twice(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="--output logits: what the model answers adds up to 1"):
        wrap(written(tmp_path, net("softmax"), *FOUR), tmp_path, options=("--scale", "0-1", "--output", "logits"))


def test_all_that_is_missing_is_asked_for_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"give --size HEIGHTxWIDTH .*, --scale 0-1"):
        wrap(written(tmp_path, net("softmax", side=None), *FOUR), tmp_path, options=())


def test_lambda_layers_are_refused_and_never_run(tmp_path: Path) -> None:
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, keras.layers.Lambda(lambda x: x[:, 0, 0, :])(image))
    with pytest.raises(InvalidRequestError, match="a Lambda layer holds Python code, which is never run"):
        wrap(written(tmp_path, model, "a", "b", "c"), tmp_path, options=("--scale", "0-1"))


def test_python_in_a_saved_model_is_refused(tmp_path: Path) -> None:
    module = tf.Module()
    module.f = tf.function(
        lambda x: {"y": tf.ensure_shape(tf.numpy_function(lambda a: a[:, 0, 0], [x], tf.float32), [None, 3])},
        input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="x")],
    )
    tf.saved_model.save(module, str(tmp_path / "python"), signatures=module.f)
    with pytest.raises(InvalidRequestError, match=r"its graph has \['PyFunc'\], which runs Python or"):
        open_foreign(tmp_path / "python")


def test_a_graph_that_reads_files_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("1")
    module = tf.Module()

    def read(x: Any) -> Any:
        number = tf.strings.to_number(tf.io.read_file(str(secret)))
        return {"y": tf.nn.softmax(tf.reduce_mean(x, [1, 2]) + number)}

    module.f = tf.function(read, input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "reader"), signatures=module.f)
    theirs = ForeignModel(tmp_path / "reader", ("a", "b", "c"), ("--scale", "0-1"), (8, 8), lambda images: images)
    with pytest.raises(InvalidRequestError, match=r"its graph has \['ReadFile'\]"):
        wrap(theirs, tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.pt", "pickled code, which is never run: write the model as ONNX"),
        ("model.h5", r"write it as `\.keras`"),
        ("model.tflite", "cannot be read back"),
        ("model.txt", "this is none of them"),
        ("model.keras", "expected a .keras file, which is a ZIP"),
        ("model.onnx", "expected an ONNX file"),
    ],
)
def test_other_files_are_refused_with_what_to_do(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04cposix\nsystem\n(S'false'\ntR.")
    with pytest.raises(InvalidRequestError, match=words):
        open_foreign(tmp_path / name)


def test_one_of_dermqs_own_is_sent_to_add(tiny_models: Path) -> None:
    with pytest.raises(InvalidRequestError, match="`dermq models add NAME PATH` takes it"):
        open_foreign(tiny_models / "1")


def test_a_fixed_batch_of_one_is_computed_image_by_image(tmp_path: Path) -> None:
    onnx.save(residual_onnx(batch=1), str(tmp_path / "one.onnx"))
    open_batch: Callable[[Path], ForeignModel] = SIX["onnx"]
    foreign = open_batch(tmp_path)
    report = wrap(replace(foreign, path=tmp_path / "one.onnx"), tmp_path / "exports")
    assert report["doubts"] == [
        "Its batch is fixed to 1: it computes image by image, and slowly. Export it with an open batch if you can."
    ]
    images = images_of(foreign)
    np.testing.assert_allclose(served(tmp_path / "exports/theirs/1", images), foreign.answers(images), atol=2e-5)


def test_a_wrong_scale_is_doubted(tmp_path: Path) -> None:
    image = keras.Input((16, 16, 3))
    saturated = keras.layers.Dense(4, "softmax")(keras.layers.GlobalAveragePooling2D()(keras.ops.sigmoid(image * 50)))
    report = wrap(written(tmp_path, keras.Model(image, saturated), *FOUR), tmp_path, options=("--scale", "none"))
    assert report["doubts"] == ["It answers every sample image alike: is --scale none what it was trained with?"]
