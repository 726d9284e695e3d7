"""Codes and messages of docs on TensorFlow Serving 2.20 (predict_util.cc, server_core.cc, get_model_*_impl.cc), line by line.

Official messages and stubs on this side, the embedded server on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.embedded.modelconfig import ModelEntry
from serving.embedded.options import Options
from serving.embedded.server import EmbeddedServer
from serving.embedded.tensorflow_runtime import tf
from tests.support.tiny_model import tiny_probabilities

IMAGES = np.full((2, 28, 28, 3), 9, np.uint8)
CONFIG = """model_config_list {{ config {{
  name: "tiny" base_path: "{base}" model_platform: "tensorflow" model_version_policy {{ all {{}} }}
  version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }} }} }}"""


@pytest.fixture(scope="module")
def channel(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    config = tmp_path_factory.mktemp("config") / "models.config"
    config.write_text(CONFIG.format(base=tiny_models))
    server = EmbeddedServer(Options(port=0, model_config_file=str(config), allow_version_labels_for_unavailable_models=True))
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
    server.stop()


@pytest.fixture(scope="module")
def prediction(channel: grpc.Channel) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel: grpc.Channel) -> Any:
    return model_service_pb2_grpc.ModelServiceStub(channel)


def request(inputs: dict[str, Any] | None = None, outputs: tuple[str, ...] = (), **spec: Any) -> Any:
    made = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(**{"name": "tiny", **spec}), output_filter=outputs)
    for alias, array in (inputs if inputs is not None else {"images": IMAGES}).items():
        made.inputs[alias].CopyFrom(tf.make_tensor_proto(array))
    return made


def undecodable() -> Any:
    made = request()
    made.inputs["images"].tensor_content = b"too short"
    return made


REFUSED: dict[str, tuple[Callable[[], Any], str, str]] = {
    "no model_spec": (predict_pb2.PredictRequest, "INVALID_ARGUMENT", "Missing ModelSpec"),
    "empty name": (lambda: request(name=""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    "unknown model": (lambda: request(name="nope"), "NOT_FOUND", "Servable not found for request: Latest(nope)"),
    "unknown version": (
        lambda: request(version={"value": 999}),
        "NOT_FOUND",
        "Servable not found for request: Specific(tiny, 999)",
    ),
    "unknown label": (lambda: request(version_label="L"), "INVALID_ARGUMENT", "Unrecognized servable version label: L"),
    "unknown signature": (
        lambda: request(signature_name="S"),
        "FAILED_PRECONDITION",
        'Serving signature key "S" not found.',
    ),
    "missing input": (
        lambda: request({}),
        "INVALID_ARGUMENT",
        "input size does not match signature: 0!=1 len({}) != len({images}). Sent extra: {}. Missing but required: {images}.",
    ),
    "extra input": (
        lambda: request({"images": IMAGES, "x": 1.0}),
        "INVALID_ARGUMENT",
        "input size does not match signature: 2!=1 len({images,x}) != len({images}). "
        "Sent extra: {x}. Missing but required: {}.",
    ),
    "wrong alias": (
        lambda: request({"x": IMAGES}),
        "INVALID_ARGUMENT",
        "Signature input alias: images(feed name: serving_default_images:0) not found in request "
        "and no default value provided. Inputs expected to be in the request {x}, or default input alias set: ",
    ),
    "wrong dtype": (
        lambda: request({"images": IMAGES.astype(np.float32)}),
        "INVALID_ARGUMENT",
        "Expects arg[0] to be uint8 but float is provided",
    ),
    "undecodable": (undecodable, "INVALID_ARGUMENT", "tensor parsing error: images"),
    "bad filter": (
        lambda: request(outputs=("nope",)),
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: nope Outputs expected to be in the set {probabilities}.",
    ),
    "duplicate filter": (
        lambda: request(outputs=("probabilities", "probabilities")),
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: probabilities",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_predict_refuses_in_tensorflow_servings_words(prediction: Any, case: str) -> None:
    make, code, words = REFUSED[case]
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Predict(make(), timeout=20)
    assert (caught.value.code().name, caught.value.details()) == (code, words)


def test_long_messages_are_cut(prediction: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Predict(request(outputs=("x" * 2000,)), timeout=20)
    details = caught.value.details()
    assert len(details) == 1024 + len("...TRUNCATED")
    assert details.endswith("xxx...TRUNCATED")


@pytest.mark.parametrize(
    ("spec", "version"),
    [({}, 2), ({"version": {"value": 1}}, 1), ({"version_label": "stable"}, 1), ({"version_label": "canary"}, 2)],
    ids=["latest", "version", "label", "other label"],
)
def test_the_answer_names_the_resolved_version_and_signature(prediction: Any, spec: dict[str, Any], version: int) -> None:
    response = prediction.Predict(request(**spec), timeout=20)
    expected = model_pb2.ModelSpec(name="tiny", version={"value": version}, signature_name="serving_default")
    assert response.model_spec == expected
    found = tf.make_ndarray(response.outputs["probabilities"])
    np.testing.assert_allclose(found, tiny_probabilities(IMAGES, bias=0.5 * (version - 1)), atol=1e-6)


def test_answers_come_in_the_val_fields(prediction: Any) -> None:
    output = prediction.Predict(request(), timeout=20).outputs["probabilities"]
    assert (len(output.float_val), output.tensor_content) == (14, b"")


def test_the_declared_shape_is_not_enforced(prediction: Any) -> None:
    response = prediction.Predict(request({"images": np.full((1, 5, 5, 3), 9, np.uint8)}), timeout=20)
    np.testing.assert_allclose(
        tf.make_ndarray(response.outputs["probabilities"])[0], tiny_probabilities(IMAGES, bias=0.5)[0], atol=1e-6
    )


def test_an_operator_that_fails_says_so(prediction: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Predict(request({"images": np.full((1, 28, 28, 3), 77, np.uint8)}), timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith("assertion failed: [an image is refused]")


def test_metadata_is_the_models_signatures(prediction: Any, tiny_models: Path) -> None:
    asked = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec={"name": "tiny", "version_label": "stable"}, metadata_field=["signature_def"]
    )
    response = prediction.GetModelMetadata(asked, timeout=20)
    assert response.model_spec == model_pb2.ModelSpec(name="tiny", version={"value": 1})
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((tiny_models / "1" / "saved_model.pb").read_bytes())
    assert dict(found.signature_def) == dict(saved.meta_graphs[0].signature_def)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({}, "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            {"model_spec": {"name": "tiny"}},
            "INVALID_ARGUMENT",
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (
            {"model_spec": {"name": "tiny"}, "metadata_field": ["foo"]},
            "INVALID_ARGUMENT",
            "Metadata field foo is not supported",
        ),
        (
            {"model_spec": {"name": "nope"}, "metadata_field": ["signature_def"]},
            "NOT_FOUND",
            "Servable not found for request: Latest(nope)",
        ),
    ],
    ids=["no model_spec", "no field", "unknown field", "unknown model"],
)
def test_metadata_refuses(prediction: Any, asked: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        prediction.GetModelMetadata(get_model_metadata_pb2.GetModelMetadataRequest(**asked), timeout=20)
    assert (caught.value.code().name, caught.value.details()) == (code, words)


def test_status_lists_versions_newest_first_and_ignores_labels(models: Any) -> None:
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "tiny", "version_label": "stable"})
    found = models.GetModelStatus(asked, timeout=20).model_version_status
    assert [(each.version, each.state, each.status.error_code) for each in found] == [(2, 30, 0), (1, 30, 0)]
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "tiny", "version": {"value": 1}})
    assert [each.version for each in models.GetModelStatus(asked, timeout=20).model_version_status] == [1]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"name": "nope"}, "Could not find any versions of model nope"),
        ({"name": "tiny", "version": {"value": 9}}, "Could not find version 9 of model tiny"),
    ],
    ids=["unknown model", "unknown version"],
)
def test_status_of_what_is_unknown(models: Any, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        models.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(model_spec=spec), timeout=20)
    assert (caught.value.code().name, caught.value.details()) == ("NOT_FOUND", words)


def test_labels_are_checked_before_models_load(tiny_models: Path, tmp_path: Path) -> None:
    from serving.embedded.status import StatusError

    config = tmp_path / "models.config"
    config.write_text(CONFIG.format(base=tiny_models))
    server = EmbeddedServer(Options(port=0, model_config_file=str(config)))
    with pytest.raises(StatusError) as caught:
        server.start()
    server.stop()
    assert str(caught.value) == (
        "FAILED_PRECONDITION: Request to assign label to version 2 of model tiny, "
        "which is not currently available for inference"
    )


def test_a_label_in_use_moves_only_to_a_version_that_is_available(tiny_models: Path) -> None:
    from serving.embedded.status import StatusError

    server = EmbeddedServer(
        Options(port=0, model_name="tiny", model_base_path=str(tiny_models), allow_version_labels_for_unavailable_models=True)
    )
    server.start()
    try:
        core = server.core
        core.configure([ModelEntry("tiny", tiny_models, labels={"stable": 2})])
        with pytest.raises(StatusError, match="label to version 1 of model tiny"):
            core.configure([ModelEntry("tiny", tiny_models, labels={"stable": 1})])
        with core.use(model_pb2.ModelSpec(name="tiny", version_label="stable")) as served:
            assert served.version == 2
    finally:
        server.stop()
