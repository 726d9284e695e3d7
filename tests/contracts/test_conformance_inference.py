"""Classify, Regress and MultiInference over TensorFlow Serving's own models: values, codes and messages.

Official messages and stubs on this side; on the other the embedded server, or whatever `--serving-address` names.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, predict_pb2, prediction_log_pb2, regression_pb2

from serving.embedded.tensorflow_runtime import tf
from serving.tensors import to_array
from tests.support.example_model import CLASSIFY, REGRESS, export_example_model
from tests.support.servers import free_port

ONE = "half_plus_two"
TF2 = "half_plus_two_tf2"


def example(**floats: float) -> example_pb2.Example:
    features = {name: feature_pb2.Feature(float_list={"value": [value]}) for name, value in floats.items()}
    return example_pb2.Example(features={"feature": features})


def classification(*examples: Any, signature: str = "classify_x_to_y", name: str = ONE) -> Any:
    asked = classification_pb2.ClassificationRequest(model_spec={"name": name, "signature_name": signature})
    asked.input.example_list.examples.extend(examples)
    return asked


def regression(*examples: Any, signature: str = "regress_x_to_y", name: str = ONE) -> Any:
    asked = regression_pb2.RegressionRequest(model_spec={"name": name, "signature_name": signature})
    asked.input.example_list.examples.extend(examples)
    return asked


def several(*tasks: tuple[str, str, str], examples: tuple[Any, ...] = (example(x=2.0),)) -> Any:
    asked = inference_pb2.MultiInferenceRequest()
    for name, signature, method in tasks:
        asked.tasks.add(model_spec={"name": name, "signature_name": signature}, method_name=method)
    asked.input.example_list.examples.extend(examples)
    return asked


def refusal(call: Callable[..., Any], asked: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(asked, timeout=20)
    return caught.value.code().name, caught.value.details()


@pytest.mark.parametrize("name", [ONE, TF2])
def test_classify_gives_the_classes_of_each_example(server: Any, name: str) -> None:
    response = server.prediction.Classify(classification(example(x=2.0), example(x=5.0), name=name), timeout=20)
    found = [[(each.label, each.score) for each in row.classes] for row in response.result.classifications]
    assert found == [[("", 3.0)], [("", 4.5)]]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (name, 123, "classify_x_to_y")


@pytest.mark.parametrize("name", [ONE, TF2])
def test_regress_gives_the_value_of_each_example(server: Any, name: str) -> None:
    response = server.prediction.Regress(regression(example(x=2.0), example(x=5.0), name=name), timeout=20)
    assert [each.value for each in response.result.regressions] == [3.0, 4.5]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (name, 123, "regress_x_to_y")


def test_a_context_belongs_to_each_example(server: Any) -> None:
    asked = regression()
    asked.input.example_list_with_context.context.CopyFrom(example(x=2.0))
    asked.input.example_list_with_context.examples.extend([example(), example(x=5.0)])
    response = server.prediction.Regress(asked, timeout=20)
    assert [each.value for each in response.result.regressions] == [3.0, 4.5]


@pytest.mark.parametrize("name", [ONE, TF2])
def test_multi_inference_answers_its_tasks_in_their_order(server: Any, name: str) -> None:
    asked = several((name, "regress_x_to_y", REGRESS), (name, "classify_x_to_y", CLASSIFY))
    first, second = server.prediction.MultiInference(asked, timeout=20).results
    assert [each.value for each in first.regression_result.regressions] == [3.0]
    assert [each.score for each in second.classification_result.classifications[0].classes] == [3.0]
    assert [each.model_spec.signature_name for each in (first, second)] == ["regress_x_to_y", "classify_x_to_y"]
    assert {(each.model_spec.name, each.model_spec.version.value) for each in (first, second)} == {(name, 123)}


NO_SIGNATURE = "No signature was found with the name: S"
REFUSED: dict[str, tuple[str, Callable[[], Any], str, str]] = {
    "classify: no model_spec": ("Classify", classification_pb2.ClassificationRequest, "INVALID_ARGUMENT", "Missing ModelSpec"),
    "classify: no examples": ("Classify", classification, "INVALID_ARGUMENT", "Input is empty."),
    "classify: unknown signature": (
        "Classify",
        lambda: classification(example(x=2.0), signature="S"),
        "INVALID_ARGUMENT",
        NO_SIGNATURE,
    ),
    "classify: unknown model": (
        "Classify",
        lambda: classification(example(x=2.0), name="NAME"),
        "NOT_FOUND",
        "Servable not found for request: Latest(NAME)",
    ),
    "classify: a predict signature": (
        "Classify",
        lambda: classification(example(x=2.0), signature=""),
        "INVALID_ARGUMENT",
        "No classification inputs found in SignatureDef: ",
    ),
    "classify: a regress signature": (
        "Classify",
        lambda: classification(example(x=2.0), signature="regress_x_to_y"),
        "INVALID_ARGUMENT",
        'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: ',
    ),
    "regress: no model_spec": ("Regress", regression_pb2.RegressionRequest, "INVALID_ARGUMENT", "Missing ModelSpec"),
    "regress: no examples": ("Regress", regression, "INVALID_ARGUMENT", "Input is empty."),
    "regress: unknown signature": (
        "Regress",
        lambda: regression(example(x=2.0), signature="S"),
        "INVALID_ARGUMENT",
        NO_SIGNATURE,
    ),
    "regress: a classify signature": (
        "Regress",
        lambda: regression(example(x=2.0), signature="classify_x_to_y"),
        "INVALID_ARGUMENT",
        "No regression outputs found in SignatureDef: ",
    ),
    "regress: an input that is no string": (
        "Regress",
        lambda: regression(example(x=2.0), signature="regress_x2_to_y3"),
        "INVALID_ARGUMENT",
        "Expects arg[0] to be float but string is provided",
    ),
    "multi: no tasks": ("MultiInference", several, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    "multi: no examples": (
        "MultiInference",
        lambda: several((ONE, "regress_x_to_y", REGRESS), examples=()),
        "INVALID_ARGUMENT",
        "Input is empty.",
    ),
    "multi: unknown signature": (
        "MultiInference",
        lambda: several((ONE, "S", REGRESS)),
        "INVALID_ARGUMENT",
        "Requested signature not found in model graph: S",
    ),
    "multi: another model": (
        "MultiInference",
        lambda: several((ONE, "regress_x_to_y", REGRESS), (TF2, "classify_x_to_y", CLASSIFY)),
        "INVALID_ARGUMENT",
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    ),
    "multi: a nameless task": (
        "MultiInference",
        lambda: several((ONE, "regress_x_to_y", REGRESS), ("", "classify_x_to_y", CLASSIFY)),
        "INVALID_ARGUMENT",
        "Found ModelSpec with an empty model name.",
    ),
    "multi: the same signature twice": (
        "MultiInference",
        lambda: several(*[(ONE, "regress_x_to_y", REGRESS)] * 2),
        "INVALID_ARGUMENT",
        "Duplicate evaluation of signature: regress_x_to_y",
    ),
    "multi: another method": (
        "MultiInference",
        lambda: several((ONE, "regress_x_to_y", "tensorflow/serving/predict")),
        "UNIMPLEMENTED",
        "Unsupported signature method_name: tensorflow/serving/predict",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_inference_refuses(server: Any, case: str) -> None:
    method, make, code, words = REFUSED[case]
    found, said = refusal(getattr(server.prediction, method), make())
    assert (found, said[: len(words)]) == (code, words)


def tensor(dtype: int, *shape: int, **fields: Any) -> Any:
    made = predict_pb2.PredictRequest(model_spec={"name": ONE})
    dims = [{"size": size} for size in shape]
    made.inputs["x"].CopyFrom(tensor_pb2.TensorProto(dtype=dtype, tensor_shape={"dim": dims}, **fields))
    return made


@pytest.mark.parametrize(
    "asked",
    [
        tensor(20, 1),
        tensor(21, 1),
        tensor(20, 1, tensor_content=b"1234"),
        tensor(1, -1, float_val=[2.0]),
        tensor(1, -(1 << 62), 4, float_val=[2.0]),
        tensor(1, *[1 << 62] * 4, float_val=[2.0]),
        tensor(14, 1 << 40, half_val=[1]),
        tensor(999, 1),
        tensor(1, *[1] * 100, float_val=[2.0]),
    ],
    ids=["resource", "variant", "resource bytes", "negative", "very negative", "overflow", "bfloat16", "dtype 999", "rank 100"],
)
def test_impossible_tensors_are_the_requests_fault(server: Any, asked: Any) -> None:
    code, said = refusal(server.prediction.Predict, asked)
    assert code == "INVALID_ARGUMENT"
    assert said.startswith("tensor parsing error: x")


def test_a_small_message_cannot_announce_gigabytes(server: Any, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--serving-address", default=None):
        pytest.skip("TensorFlow Serving itself fills the shape")
    asked = tensor(1, 625_000_000, float_val=[2.0])
    assert asked.ByteSize() < 64
    code, said = refusal(server.prediction.Predict, asked)
    assert code == "INVALID_ARGUMENT"
    assert said == (
        "tensor parsing error: x: 1 values for the shape [625000000] would be repeated to 2500000000 bytes, "
        "at most 134217728 are taken; send all values, in tensor_content"
    )


def test_a_short_field_repeats_its_last_value(server: Any) -> None:
    response = server.prediction.Predict(tensor(1, 3, float_val=[1.0, 2.0]), timeout=20)
    assert to_array(response.outputs["y"]).tolist() == [2.5, 3.0, 3.0]


@pytest.fixture(scope="module")
def strict(embedded_for_all: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that compares method names, with a model of labels, scores, values and a scalar text, and its REST port."""
    base, port = tmp_path_factory.mktemp("examples") / ONE, free_port()
    export_example_model(base / "1")
    log = prediction_log_pb2.PredictionLog(classify_log={"request": classification(example(x=0.5), signature="")})
    (base / "1" / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(base / "1" / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())
    options = {"enable_signature_method_name_check": True, "rest_api_port": port}
    server, _ = embedded_for_all(model_name=ONE, model_base_path=str(base), **options)
    return server, port


def test_classes_have_labels_and_scores(strict: Any) -> None:
    asked = classification(example(x=0.25), example(x=1.0), signature="")
    response = strict[0].prediction.Classify(asked, timeout=20)
    found = [[(each.label, each.score) for each in row.classes] for row in response.result.classifications]
    assert found == [[("low", 0.75), ("high", 0.25)], [("low", 0.0), ("high", 1.0)]]
    assert response.model_spec.signature_name == "serving_default"
    asked = classification(example(x=0.25), signature="labels")
    (row,) = strict[0].prediction.Classify(asked, timeout=20).result.classifications
    assert [(each.label, each.score) for each in row.classes] == [("low", 0.0), ("high", 0.0)]


def test_several_signatures_share_a_run(strict: Any) -> None:
    asked = several((ONE, "value", REGRESS), (ONE, "", CLASSIFY), examples=(example(x=0.25), example(x=0.5)))
    values, classes = strict[0].prediction.MultiInference(asked, timeout=20).results
    assert [each.value for each in values.regression_result.regressions] == [0.25, 0.5]
    assert [row.classes[1].score for row in classes.classification_result.classifications] == [0.25, 0.5]


@pytest.mark.parametrize(
    ("method", "asked", "words"),
    [
        (
            "Classify",
            classification(example(x=0.5), signature="value"),
            f"Expected classification signature method_name to be {CLASSIFY}. Was: {REGRESS}",
        ),
        (
            "Regress",
            regression(example(x=0.5), signature="greet"),
            f"Expected regression signature method_name to be {REGRESS}. Was: tensorflow/serving/predict",
        ),
        (
            "Regress",
            regression(example(x=0.5), signature="flat"),
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,2]",
        ),
    ],
    ids=["classify", "regress", "two values"],
)
def test_method_names_and_shapes_are_compared(strict: Any, method: str, asked: Any, words: str) -> None:
    assert refusal(getattr(strict[0].prediction, method), asked) == ("INVALID_ARGUMENT", words)


def test_a_scalar_text_is_an_answer(strict: Any) -> None:
    server, port = strict
    asked = predict_pb2.PredictRequest(model_spec={"name": ONE, "signature_name": "greet"})
    asked.inputs["x"].CopyFrom(tensor_pb2.TensorProto(dtype=1, tensor_shape={}, float_val=[2.0]))
    text = server.prediction.Predict(asked, timeout=20).outputs["text"]
    assert (text.dtype, list(text.tensor_shape.dim), list(text.string_val)) == (7, [], [b"x is 2"])
    body = b'{"signature_name": "greet", "inputs": 2.0}'
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/{ONE}:predict", data=body, timeout=20) as response:
        assert json.load(response) == {"outputs": "x is 2"}
