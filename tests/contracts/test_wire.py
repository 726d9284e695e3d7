"""DermQ's own messages and the official ones are the same bytes, both ways, for every message that goes over the wire.

The messages are drawn by Hypothesis from the descriptors, every field of them, so a field that is added is covered.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2 as tf_tensor_pb2
from tensorflow.core.framework import tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2 as official_metadata
from tensorflow_serving.apis import get_model_status_pb2 as official_get_status
from tensorflow_serving.apis import model_management_pb2 as official_management
from tensorflow_serving.apis import model_pb2 as official_model
from tensorflow_serving.apis import predict_pb2 as official_predict
from tensorflow_serving.apis import status_pb2 as official_status
from tensorflow_serving.config import file_system_storage_path_source_pb2 as official_source
from tensorflow_serving.config import log_collector_config_pb2 as official_collector
from tensorflow_serving.config import logging_config_pb2 as official_logging
from tensorflow_serving.config import model_server_config_pb2 as official_config

from serving.embedded.tensorflow_runtime import tf  # noqa: F401 - quietly, before the official messages import it
from serving.protos import config_pb2, management_pb2, metadata_pb2, model_pb2, predict_pb2, status_pb2, tensor_pb2

PAIRS = [
    (tensor_pb2.TensorProto, tf_tensor_pb2.TensorProto),
    (tensor_pb2.TensorShapeProto, tensor_shape_pb2.TensorShapeProto),
    (model_pb2.ModelSpec, official_model.ModelSpec),
    (predict_pb2.PredictRequest, official_predict.PredictRequest),
    (predict_pb2.PredictResponse, official_predict.PredictResponse),
    (metadata_pb2.TensorInfo, meta_graph_pb2.TensorInfo),
    (metadata_pb2.SignatureDef, meta_graph_pb2.SignatureDef),
    (metadata_pb2.SignatureDefMap, official_metadata.SignatureDefMap),
    (metadata_pb2.GetModelMetadataRequest, official_metadata.GetModelMetadataRequest),
    (metadata_pb2.GetModelMetadataResponse, official_metadata.GetModelMetadataResponse),
    (status_pb2.StatusProto, official_status.StatusProto),
    (status_pb2.GetModelStatusRequest, official_get_status.GetModelStatusRequest),
    (status_pb2.ModelVersionStatus, official_get_status.ModelVersionStatus),
    (status_pb2.GetModelStatusResponse, official_get_status.GetModelStatusResponse),
    (config_pb2.ServableVersionPolicy, official_source.FileSystemStoragePathSourceConfig.ServableVersionPolicy),
    (config_pb2.LogCollectorConfig, official_collector.LogCollectorConfig),
    (config_pb2.PerTaskSamplingConfig, official_logging.PerTaskSamplingConfig),
    (config_pb2.SamplingConfig, official_logging.SamplingConfig),
    (config_pb2.LoggingConfig, official_logging.LoggingConfig),
    (config_pb2.ModelConfig, official_config.ModelConfig),
    (config_pb2.ModelConfigList, official_config.ModelConfigList),
    (config_pb2.ModelServerConfig, official_config.ModelServerConfig),
    (management_pb2.Metric, official_management.Metric),
    (management_pb2.ReloadConfigRequest, official_management.ReloadConfigRequest),
    (management_pb2.ReloadConfigResponse, official_management.ReloadConfigResponse),
]
MODULES = (config_pb2, management_pb2, metadata_pb2, model_pb2, predict_pb2, status_pb2, tensor_pb2)
IDS = [ours.DESCRIPTOR.name for ours, _ in PAIRS]

INTEGERS = {
    "TYPE_INT32": st.integers(-(2**31), 2**31 - 1),
    "TYPE_INT64": st.integers(-(2**63), 2**63 - 1),
    "TYPE_SINT64": st.integers(-(2**63), 2**63 - 1),
    "TYPE_UINT32": st.integers(0, 2**32 - 1),
    "TYPE_UINT64": st.integers(0, 2**64 - 1),
}
SCALARS = {
    **INTEGERS,
    "TYPE_FLOAT": st.floats(width=32, allow_nan=False),
    "TYPE_DOUBLE": st.floats(allow_nan=False),
    "TYPE_BOOL": st.booleans(),
    "TYPE_STRING": st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    "TYPE_BYTES": st.binary(max_size=5),
}


def type_name(field: Any) -> str:
    names = {getattr(field, name): name for name in dir(field) if name.startswith("TYPE_")}
    return names[field.type]


def draw_value(draw: st.DrawFn, field: Any, depth: int) -> Any:
    if field.message_type is not None:
        return draw_fields(draw, field.message_type, depth - 1)
    if field.enum_type is not None:
        return draw(st.sampled_from([value.number for value in field.enum_type.values]))
    return draw(SCALARS[type_name(field)])


def draw_fields(draw: st.DrawFn, descriptor: Any, depth: int) -> dict[str, Any]:
    """Field name → value, for most fields of a message; one of each oneof."""
    chosen = {draw(st.sampled_from([field.name for field in oneof.fields])) for oneof in descriptor.oneofs}
    values = {}
    for field in descriptor.fields:
        skipped = field.containing_oneof is not None and field.name not in chosen
        if skipped or (field.message_type is not None and depth <= 0) or draw(st.integers(0, 9)) == 0:
            continue
        if field.is_repeated:
            values[field.name] = [draw_value(draw, field, depth) for _ in range(draw(st.integers(0, 3)))]
        else:
            values[field.name] = draw_value(draw, field, depth)
    return values


def fill(message: Any, values: dict[str, Any]) -> Any:
    for name, value in values.items():
        fill_field(message, message.DESCRIPTOR.fields_by_name[name], value)
    return message


def fill_field(message: Any, field: Any, value: Any) -> None:
    target = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for entry in value:
            key, inner = entry.get("key", default_key(field)), entry.get("value")
            if field.message_type.fields_by_name["value"].message_type is not None:
                fill(target[key], inner or {})
            else:
                target[key] = inner or 0
    elif field.message_type is not None and field.is_repeated:
        for each in value:
            fill(target.add(), each)
    elif field.message_type is not None:
        target.SetInParent()
        fill(target, value)
    elif field.is_repeated:
        target.extend(value)
    else:
        setattr(message, field.name, value)


def default_key(field: Any) -> str:
    assert type_name(field.message_type.fields_by_name["key"]) == "TYPE_STRING"
    return ""


def as_dict(message: Any, like: Any) -> dict[str, Any]:
    """The fields of a message that are set, by name, as far as `like` (the descriptor of our message) has them."""
    return {
        field.name: plain(value, like.fields_by_name[field.name])
        for field, value in message.ListFields()
        if field.name in like.fields_by_name
    }


def plain(value: Any, field: Any) -> Any:
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    if field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        return {key: plain(each, inner) for key, each in value.items()}
    if field.is_repeated:
        return [as_dict(each, field.message_type) for each in value]
    return as_dict(value, field.message_type)


def numbers(enum: Any) -> dict[str, int]:
    return {value.name: value.number for value in enum.values}


@pytest.mark.parametrize(("ours", "official"), PAIRS, ids=IDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_our_bytes_are_read_by_the_official_message_and_come_back(ours: Any, official: Any, data: st.DataObject) -> None:
    message = fill(ours(), data.draw(st.composite(lambda draw: draw_fields(draw, ours.DESCRIPTOR, 4))()))
    theirs = official.FromString(message.SerializeToString())
    assert as_dict(theirs, ours.DESCRIPTOR) == as_dict(message, ours.DESCRIPTOR)
    theirs.DiscardUnknownFields()  # where a field would be whose number or type the official message does not know
    assert ours.FromString(theirs.SerializeToString()) == message


@pytest.mark.parametrize(("ours", "official"), PAIRS, ids=IDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_official_bytes_are_read_by_our_message_and_pass_through_it(ours: Any, official: Any, data: st.DataObject) -> None:
    theirs = fill(official(), data.draw(st.composite(lambda draw: draw_fields(draw, official.DESCRIPTOR, 3))()))
    message = ours.FromString(theirs.SerializeToString())
    assert as_dict(message, ours.DESCRIPTOR) == as_dict(theirs, ours.DESCRIPTOR)
    assert official.FromString(message.SerializeToString()) == theirs  # fields we leave out travel on


def test_every_message_of_ours_is_compared() -> None:
    defined = {name for module in MODULES for name in module.DESCRIPTOR.message_types_by_name}
    assert defined == set(IDS)


@pytest.mark.parametrize(
    ("ours", "official"),
    [
        (tensor_pb2.DataType.DESCRIPTOR, types_pb2.DataType.DESCRIPTOR),
        (status_pb2.Code.DESCRIPTOR, official_status.StatusProto.DESCRIPTOR.fields_by_name["error_code"].enum_type),
        (status_pb2.ModelVersionStatus.State.DESCRIPTOR, official_get_status.ModelVersionStatus.State.DESCRIPTOR),
        (config_pb2.ModelType.DESCRIPTOR, official_config.ModelType.DESCRIPTOR),
    ],
    ids=["DataType", "Code", "State", "ModelType"],
)
def test_enums_have_the_official_names_and_numbers(ours: Any, official: Any) -> None:
    assert numbers(ours).items() <= numbers(official).items()


def test_both_sets_of_messages_live_in_one_descriptor_pool() -> None:
    names = {pair.DESCRIPTOR.file.name for pairs in PAIRS for pair in pairs}
    assert {"serving/protos/predict.proto", "tensorflow_serving/apis/predict.proto"} <= names
