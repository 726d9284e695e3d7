"""TensorFlow Serving's own test models, TF1 and TF2, answer as its own tests expect. Official stubs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.embedded.options import Options
from serving.embedded.server import EmbeddedServer
from serving.embedded.tensorflow_runtime import tf

MODELS = {
    "half_plus_two": "saved_model_half_plus_two_cpu",
    "half_plus_two_tf2": "saved_model_half_plus_two_tf2_cpu",
    "half_plus_two_2_versions": "saved_model_half_plus_two_2_versions",
    "half_plus_three": "saved_model_half_plus_three",
    "counter": "saved_model_counter",
    "bad_half_plus_two": "bad_half_plus_two",
}


@pytest.fixture(scope="module")
def channel(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    folder = shared_data / "tfserving"
    if not folder.is_dir():
        pytest.skip("TensorFlow Serving's test models are not there: data/tfserving")
    rest = 'model_platform: "tensorflow" model_version_policy { all {} }'
    entries = "\n".join(f'config {{ name: "{name}" base_path: "{folder / path}" {rest} }}' for name, path in MODELS.items())
    config = tmp_path_factory.mktemp("config") / "models.config"
    config.write_text(f"model_config_list {{ {entries} }}")
    server = EmbeddedServer(Options(port=0, model_config_file=str(config), max_num_load_retries=0))
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
    server.stop()


def predict(
    channel: grpc.Channel, name: str, value: Any, *, signature: str = "", version: int | None = None, alias: str = "x"
) -> Any:
    request = predict_pb2.PredictRequest(model_spec={"name": name, "signature_name": signature})
    if version is not None:
        request.model_spec.version.value = version
    if value is not None:
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value, dtype=tf.float32))
    response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=20)
    return {key: tf.make_ndarray(tensor).tolist() for key, tensor in response.outputs.items()}


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("half_plus_two", None, [2.5, 3.0, 4.5]),
        ("half_plus_two_tf2", None, [2.5, 3.0, 4.5]),
        ("half_plus_two_2_versions", 123, [2.5, 3.0, 4.5]),
        ("half_plus_two_2_versions", 124, [2.5, 3.0, 4.5]),
        ("half_plus_three", None, [3.5, 4.0, 5.5]),
    ],
)
def test_half_plus(channel: grpc.Channel, name: str, version: int | None, expected: list[float]) -> None:
    assert predict(channel, name, [1.0, 2.0, 5.0], version=version) == {"y": expected}


def test_an_omitted_input_takes_its_default(channel: grpc.Channel) -> None:
    assert predict(channel, "half_plus_two_tf2", None) == {"y": [2.0]}


def test_a_scalar_stays_a_scalar(channel: grpc.Channel) -> None:
    assert predict(channel, "half_plus_two", 2.0) == {"y": 3.0}


def test_state_that_a_signature_changes_is_kept(channel: grpc.Channel) -> None:
    def counter(signature: str, delta: float | None = None) -> float:
        return float(predict(channel, "counter", delta, signature=signature, alias="delta")["output"])

    counter("reset_counter")
    assert counter("incr_counter") == 1
    assert counter("incr_counter_by", 3.0) == 4
    assert counter("get_counter") == 4


def test_a_model_that_cannot_be_loaded_ends_with_its_error(channel: grpc.Channel) -> None:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "bad_half_plus_two"})
    (status,) = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=20).model_version_status
    assert (status.version, status.state, status.status.error_code) == (123, get_model_status_pb2.ModelVersionStatus.END, 5)
    assert status.status.error_message.startswith("Could not find SavedModel .pb or .pbtxt at supplied export directory path: ")
    with pytest.raises(grpc.RpcError) as caught:
        predict(channel, "bad_half_plus_two", 1.0)
    assert caught.value.details() == "Servable not found for request: Latest(bad_half_plus_two)"


@pytest.mark.parametrize(
    ("name", "version", "file"),
    [
        ("half_plus_two_2_versions", 123, "saved_model_half_plus_two_2_versions_metadata.json"),
        ("half_plus_two_tf2", 123, "saved_model_half_plus_two_tf2_2_versions_metadata.json"),
    ],
)
def test_metadata_is_what_the_real_server_says(
    channel: grpc.Channel, shared_data: Path, name: str, version: int, file: str
) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec={"name": name}, metadata_field=["signature_def"])
    request.model_spec.version.value = version
    response = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(request, timeout=20)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    found = json_format.MessageToDict(signatures, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    recorded = json.loads((shared_data / "tfserving" / file).read_text())["metadata"]["signature_def"]
    for signature in (*found["signature_def"].values(), *recorded["signature_def"].values()):
        signature.pop("defaults", None)  # the recording is of an export without default values
    assert found == recorded
