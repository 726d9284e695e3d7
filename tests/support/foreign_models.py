"""Six models as other teams hand them over: of other frameworks, with other names, inputs and outputs than DermQ's.

Their weights are drawn, not trained. Each comes with what `dermq models wrap` must be given, and with a function that computes
what it answers without DermQ: uint8 [n, height, width, 3] → float32 [n, classes].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Answers = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class ForeignModel:
    """A file, what is said of it, and what it answers."""

    path: Path
    classes: tuple[str, ...]
    options: tuple[str, ...]  # of `dermq models wrap`, besides --name and --classes
    size: tuple[int, int]
    answers: Answers
    malignant: tuple[str, ...] = ()


def _classes(count: int, prefix: str = "c") -> tuple[str, ...]:
    return tuple(f"{prefix}{number:03}" for number in range(count))


def _softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _sigmoid(logits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _small_net(keras: Any, *, side: int | None, units: int, activation: str | None, seed: int, name: str = "photo") -> Any:
    """A few convolutions whose answers differ from picture to picture."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((side, side, 3), name=name)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="stem")(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    out = keras.layers.Dense(units, activation=activation, kernel_initializer=keras.initializers.RandomNormal(stddev=9.0))(x)
    return keras.Model(image, out)


def keras_export(folder: Path) -> ForeignModel:
    """Keras `model.export()`: float32 in, other names, ten classes, none malignant, logits."""
    import keras

    model = _small_net(keras, side=48, units=10, activation=None, seed=1)
    model.export(str(folder / "ten"), verbose=False)
    return ForeignModel(
        folder / "ten",
        _classes(10),
        ("--scale", "0-1"),
        (48, 48),
        lambda images: _softmax(model.predict(images / np.float32(255), verbose=0)),
    )


def tf1_saved_model(folder: Path, *, use_resource: bool = False) -> ForeignModel:
    """TensorFlow 1: placeholders, a session, `builder.add_meta_graph_and_variables`; probabilities."""
    import tensorflow as tf

    rng = np.random.default_rng(2)
    weights, bias = rng.normal(scale=5.0, size=(3, 7)).astype(np.float32), rng.normal(size=7).astype(np.float32)
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        image = v1.placeholder(tf.float32, [None, 32, 32, 3], name="input_image")
        matrix = v1.get_variable("w", initializer=weights, use_resource=use_resource)
        offset = v1.get_variable("b", initializer=bias, use_resource=use_resource)
        scores = tf.nn.softmax(tf.matmul(tf.reduce_mean(image, [1, 2]), matrix) + offset, name="scores")
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.build_signature_def(
            inputs={"x": v1.saved_model.build_tensor_info(image)},
            outputs={"scores": v1.saved_model.build_tensor_info(scores)},
            method_name="tensorflow/serving/predict",
        )
        builder = v1.saved_model.Builder(str(folder / "tf1"))
        builder.add_meta_graph_and_variables(session, ["serve"], {"predict_images": signature})
        builder.save()

    def answers(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return _softmax((images / np.float32(127.5) - 1).mean(axis=(1, 2)) @ weights + bias)

    classes = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    options = ("--scale=-1-1", "--malignant", "akiec,bcc,mel", "--threshold", "0.4")
    return ForeignModel(folder / "tf1", classes, options, (32, 32), answers, ("akiec", "bcc", "mel"))


def keras_applications(folder: Path) -> ForeignModel:
    """`keras.applications`, in a `.keras` file: two hundred classes."""
    import keras

    keras.utils.set_random_seed(3)
    model = keras.applications.MobileNetV2((64, 64, 3), alpha=0.35, weights=None, classes=200)
    rng = np.random.default_rng(3)
    for layer in model.layers:  # Keras's own first weights are so small that all pictures are alike in the end
        if layer.weights and "Norm" not in type(layer).__name__:
            shapes = [weight.shape for weight in layer.get_weights()]
            scales = [
                (3 / np.prod(shape[:2] if "Depthwise" in type(layer).__name__ else shape[:-1])) ** 0.5 for shape in shapes
            ]
            layer.set_weights([rng.normal(scale=scale, size=shape) for scale, shape in zip(scales, shapes, strict=True)])
    model.layers[-1].set_weights([each / 4 for each in model.layers[-1].get_weights()])
    model.save(folder / "mobile.keras")
    return ForeignModel(
        folder / "mobile.keras",
        _classes(200, "species "),
        ("--scale=-1-1",),
        (64, 64),
        lambda images: np.asarray(model.predict(images / np.float32(127.5) - 1, verbose=0)),
    )


def binary_keras(folder: Path) -> ForeignModel:
    """One sigmoid for yes or no, scaling inside."""
    import keras

    keras.utils.set_random_seed(4)
    image = keras.Input((40, 30, 3), name="lesion")
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(10)(x))
    model = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(x))
    model.save(folder / "binary.keras")

    def answers(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        positive = model.predict(images.astype(np.float32), verbose=0)
        return np.concatenate([1 - positive, positive], axis=1)

    options = ("--malignant", "malignant", "--threshold", "0.5", "--output", "probabilities")
    return ForeignModel(folder / "binary.keras", ("benign", "malignant"), options, (40, 30), answers, ("malignant",))


def multi_label(folder: Path) -> ForeignModel:
    """`tf.saved_model.save` of a module: uint8 in, fourteen sigmoids, several of which may be true."""
    import tensorflow as tf

    rng = np.random.default_rng(5)
    weights = rng.normal(scale=6.0, size=(3, 14)).astype(np.float32)
    module = tf.Module()
    module.weights = tf.Variable(weights)

    def findings(pixels: Any) -> dict[str, Any]:
        return {"findings": tf.matmul(tf.reduce_mean(tf.cast(pixels, tf.float32), [1, 2]) / 255 - 0.6, module.weights)}

    module.serve = tf.function(findings, input_signature=[tf.TensorSpec([None, 24, 24, 3], tf.uint8, name="pixels")])
    tf.saved_model.save(module, str(folder / "findings"), signatures=module.serve)

    def answers(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return _sigmoid((images.astype(np.float32).mean(axis=(1, 2)) / 255 - 0.6) @ weights)

    names = _classes(14, "finding ")
    options = ("--multi-label", "--output", "logits", "--malignant", names[3], "--threshold", "sensitive=0.2")
    return ForeignModel(folder / "findings", names, options, (24, 24), answers, (names[3],))


def onnx_residual(folder: Path) -> ForeignModel:
    """ONNX as PyTorch exports a small residual network: colours second, open batch, logits."""
    import onnx
    import onnxruntime

    path = folder / "residual.onnx"
    onnx.save(residual_onnx(), str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

    def answers(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        fed = ((images / np.float32(255) - mean) / deviation).transpose(0, 3, 1, 2).astype(np.float32)
        return _softmax(session.run(None, {"input.1": fed})[0])

    return ForeignModel(path, ("mel", "nv", "bkl"), ("--scale", "imagenet"), (32, 32), answers)


def residual_onnx(*, batch: str | int = "batch", seed: int = 6) -> Any:
    """A residual block with a depthwise convolution, as `torch.onnx.export` writes them (opset 17)."""
    from onnx import TensorProto, helper, numpy_helper

    rng, weights = np.random.default_rng(seed), {}

    def weight(name: str, *shape: int, scale: float = 0.4) -> str:
        weights[name] = rng.normal(scale=scale, size=shape).astype(np.float32)
        return name

    def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
        return helper.make_node(kind, list(inputs), [output], name=f"/{kind}_{output}", **attributes)

    weights["var"] = rng.uniform(0.5, 2.0, 8).astype(np.float32)
    weights["low"], weights["six"] = np.float32(0.0), np.float32(6.0)
    batch_norm = [weight("gamma", 8), weight("beta", 8), weight("mean", 8), "var"]
    nodes = [
        node("Conv", ["input.1", weight("stem", 8, 3, 3, 3)], "c1", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c1", *batch_norm], "n1", epsilon=1e-5),
        node("Relu", ["n1"], "r1"),
        node("Conv", ["r1", weight("dw", 8, 1, 3, 3), weight("dwb", 8)], "c2", group=8, pads=[1, 1, 1, 1]),
        node("Clip", ["c2", "low", "six"], "k2"),
        node("Conv", ["k2", weight("pw", 8, 8, 1, 1)], "c3"),
        node("Add", ["c3", "r1"], "sum"),
        node("MaxPool", ["sum"], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", ["pool"], "gap"),
        node("Flatten", ["gap"], "flat", axis=1),
        node("Gemm", ["flat", weight("fc", 3, 8, scale=0.2), weight("fcb", 3)], "output", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [batch, 3, 32, 32])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="pytorch")


SIX: dict[str, Callable[[Path], ForeignModel]] = {
    "keras-export": keras_export,
    "tf1": tf1_saved_model,
    "keras-applications": keras_applications,
    "binary": binary_keras,
    "multi-label": multi_label,
    "onnx": onnx_residual,
}
