"""SERVING.md, "Predict" and "Metadata and status": one test per line, over TensorFlow Serving's own models.

Official messages and stubs on this side; on the other the embedded server, or whatever `--serving-address` names (conftest.py
says what that server needs). Code and message are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from serving.embedded.tensorflow_runtime import tf
from serving.tensors import to_array
from tests.contracts.conftest import MODELS

ONE = "half_plus_two"
TWO = "half_plus_two_2_versions"
TF2 = "half_plus_two_tf2"


def request(inputs: dict[str, Any] | None = None, outputs: tuple[str, ...] = (), **spec: Any) -> Any:
    made = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(**{"name": ONE, **spec}), output_filter=outputs)
    for alias, value in ({"x": [2.0]} if inputs is None else inputs).items():
        made.inputs[alias].CopyFrom(value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value))
    return made


def refusal(call: Callable[..., Any], asked: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(asked, timeout=20)
    return caught.value.code().name, caught.value.details()


def predict(server: Any, **asked: Any) -> Any:
    return server.prediction.Predict(request(**asked), timeout=20)


def undecodable() -> Any:
    proto = tf.make_tensor_proto(np.array([2.0, 3.0], np.float32))
    proto.tensor_content = b"odd"
    return request({"x": proto})


REFUSED: dict[str, tuple[Callable[[], Any], str, str]] = {
    "no model_spec": (predict_pb2.PredictRequest, "INVALID_ARGUMENT", "Missing ModelSpec"),
    "empty name": (lambda: request(name=""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    "unknown model": (lambda: request(name="NAME"), "NOT_FOUND", "Servable not found for request: Latest(NAME)"),
    "unknown version": (
        lambda: request(version={"value": 999}),
        "NOT_FOUND",
        f"Servable not found for request: Specific({ONE}, 999)",
    ),
    "unknown label": (lambda: request(version_label="L"), "INVALID_ARGUMENT", "Unrecognized servable version label: L"),
    "unknown signature": (
        lambda: request(signature_name="S"),
        "FAILED_PRECONDITION",
        'Serving signature key "S" not found.',
    ),
    "missing inputs": (
        lambda: request({}),
        "INVALID_ARGUMENT",
        "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
    ),
    "extra inputs": (
        lambda: request({"x": [2.0], "y": [2.0]}),
        "INVALID_ARGUMENT",
        "input size does not match signature: 2!=1 len({x,y}) != len({x}). Sent extra: {y}. Missing but required: {}.",
    ),
    "right count, wrong alias": (
        lambda: request({"z": [2.0]}),
        "INVALID_ARGUMENT",
        "Signature input alias: x(feed name: x:0) not found in request and no default value provided. "
        "Inputs expected to be in the request {z}, or default input alias set: ",
    ),
    "wrong dtype": (
        lambda: request({"x": np.array([2], np.int32)}),
        "INVALID_ARGUMENT",
        "Expects arg[0] to be float but int32 is provided",
    ),
    "undecodable TensorProto": (undecodable, "INVALID_ARGUMENT", "tensor parsing error: x"),
    "bad output_filter": (
        lambda: request(outputs=("nope",)),
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: nope Outputs expected to be in the set {y}.",
    ),
    "duplicate filter": (
        lambda: request(outputs=("y", "y")),
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: y",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_predict_refuses(server: Any, case: str) -> None:
    make, code, words = REFUSED[case]
    assert refusal(server.prediction.Predict, make()) == (code, words)


def test_messages_are_cut_at_1024_characters(server: Any) -> None:
    _, words = refusal(server.prediction.Predict, request(outputs=("x" * 2000,)))
    assert len(words) == 1024 + len("...TRUNCATED")
    assert words.endswith("xxx...TRUNCATED")


def test_an_empty_signature_name_is_serving_default(server: Any) -> None:
    assert predict(server).model_spec.signature_name == "serving_default"


def test_the_answer_holds_the_resolved_version_and_never_the_label(server: Any) -> None:
    server.reload(*(server.entry(name) for name in MODELS if name != TWO), server.entry(TWO, version_labels={"L": 123}))
    try:
        expected = model_pb2.ModelSpec(name=TWO, version={"value": 123}, signature_name="serving_default")
        assert predict(server, name=TWO, version_label="L").model_spec == expected
    finally:
        server.reset()


def test_the_declared_shape_is_not_enforced(server: Any) -> None:
    found = predict(server, name=TF2, inputs={"x": [[1.0, 2.0], [5.0, 0.0]]}).outputs["y"]
    assert to_array(found).tolist() == [[2.5, 3.0], [4.5, 2.0]]


def test_an_omitted_input_takes_its_default(server: Any) -> None:
    assert to_array(predict(server, name=TF2, inputs={}).outputs["y"]).tolist() == [2.0]


def test_the_deadline_bounds_the_run(server: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.prediction.Predict(request({"x": np.zeros(1_000_000, np.float32)}), timeout=0.001)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_answers_come_in_the_val_fields(server: Any) -> None:
    output = predict(server).outputs["y"]
    assert (list(output.float_val), output.tensor_content) == ([3.0], b"")


def test_requests_may_use_either_field(server: Any) -> None:
    proto = tf.make_tensor_proto(np.array([1.0, 2.0], np.float32))
    assert proto.tensor_content
    listed = tensor_pb2.TensorProto(dtype=1, tensor_shape=proto.tensor_shape, float_val=[1.0, 2.0])
    answers = [to_array(predict(server, inputs={"x": each}).outputs["y"]).tolist() for each in (proto, listed)]
    assert answers == [[2.5, 3.0]] * 2


def metadata(**asked: Any) -> Any:
    return get_model_metadata_pb2.GetModelMetadataRequest(**asked)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (metadata(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            metadata(model_spec={"name": ONE}),
            "INVALID_ARGUMENT",
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (
            metadata(model_spec={"name": ONE}, metadata_field=["foo"]),
            "INVALID_ARGUMENT",
            "Metadata field foo is not supported",
        ),
        (
            metadata(model_spec={"name": "NAME"}, metadata_field=["signature_def"]),
            "NOT_FOUND",
            "Servable not found for request: Latest(NAME)",
        ),
    ],
    ids=["no model_spec", "no field", "unknown field", "unknown model"],
)
def test_metadata_refuses(server: Any, asked: Any, code: str, words: str) -> None:
    assert refusal(server.prediction.GetModelMetadata, asked) == (code, words)


def test_metadata_is_an_any_of_signature_def_map(server: Any) -> None:
    asked = metadata(model_spec={"name": ONE}, metadata_field=["signature_def"])
    response = server.prediction.GetModelMetadata(asked, timeout=20)
    assert response.model_spec == model_pb2.ModelSpec(name=ONE, version={"value": 123})
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    default = signatures.signature_def["serving_default"]
    assert (default.method_name, default.inputs["x"].name, default.outputs["y"].dtype) == (
        "tensorflow/serving/predict",
        "x:0",
        1,
    )


def status(**spec: Any) -> Any:
    return get_model_status_pb2.GetModelStatusRequest(model_spec=spec)


def test_status_lists_versions_in_descending_order_and_ignores_labels(server: Any) -> None:
    for asked in (status(name=TWO), status(name=TWO, version_label="nope")):
        found = server.management.GetModelStatus(asked, timeout=20).model_version_status
        assert [(each.version, each.state, each.status.error_code) for each in found] == [(124, 30, 0), (123, 30, 0)]


def test_status_of_one_version(server: Any) -> None:
    found = server.management.GetModelStatus(status(name=TWO, version={"value": 123}), timeout=20).model_version_status
    assert [each.version for each in found] == [123]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (status(name="M"), "Could not find any versions of model M"),
        (status(name=ONE, version={"value": 9}), f"Could not find version 9 of model {ONE}"),
    ],
    ids=["model", "version"],
)
def test_status_of_what_is_unknown(server: Any, asked: Any, words: str) -> None:
    assert refusal(server.management.GetModelStatus, asked) == ("NOT_FOUND", words)


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("half_plus_two", {}, [2.5, 3.0, 4.5]),
        ("half_plus_two_tf2", {}, [2.5, 3.0, 4.5]),
        (TWO, {"version": {"value": 123}}, [2.5, 3.0, 4.5]),
        (TWO, {"version": {"value": 124}}, [2.5, 3.0, 4.5]),
        (TWO, {}, [2.5, 3.0, 4.5]),
        ("half_plus_three", {}, [3.5, 4.0, 5.5]),
    ],
)
def test_tensorflow_servings_own_models_answer_right(
    server: Any, name: str, spec: dict[str, Any], expected: list[float]
) -> None:
    response = predict(server, name=name, inputs={"x": [1.0, 2.0, 5.0]}, **spec)
    assert to_array(response.outputs["y"]).tolist() == expected


def test_the_counter_counts(server: Any) -> None:
    def call(signature: str, **inputs: float) -> float:
        response = predict(server, name="counter", signature_name=signature, inputs=inputs)
        return float(to_array(response.outputs["output"]))

    call("reset_counter")
    assert [call("incr_counter"), call("incr_counter_by", delta=3.0), call("get_counter")] == [1, 4, 4]
