"""Warm-up requests that a server replays when it loads a version, so that the first user does not wait for it.

The file is a TFRecord of `tensorflow.serving.PredictionLog` (prediction_log.proto:
predict_log = 6; PredictLog.request = 1), one for each batch size in use.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from core.modelspec import EXPLAIN_SIGNATURE, INPUT_ALIAS, ModelSpec
from serving.protos import predict_pb2, tensor_pb2

WARM_UP_NAME = "tf_serving_warmup_requests"
# Images of the requests. With serving/config/batching.gpu.config each of its allowed_batch_sizes is run by one of them.
BATCH_SIZES = (1, 32, 64)
_PREDICT_LOG, _REQUEST = 6, 1


def write_warm_up(path: Path, spec: ModelSpec, batch_sizes: Iterable[int]) -> None:
    """Writes one request of grey pictures for each batch size, and one of a single picture for `explain` if it is there."""
    import tensorflow as tf  # noqa: PLC0415 - the only line that needs it, in a process that has it loaded

    with tf.io.TFRecordWriter(str(path)) as writer:
        requests = [_request(spec, "serving_default", batch_size) for batch_size in batch_sizes]
        if spec.explain:
            requests.append(_request(spec, EXPLAIN_SIGNATURE, 1))
        for request in requests:
            writer.write(_field(_PREDICT_LOG, _field(_REQUEST, request.SerializeToString())))


def _request(spec: ModelSpec, signature: str, batch_size: int) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = spec.name
    request.model_spec.signature_name = signature
    tensor = request.inputs[INPUT_ALIAS]
    tensor.dtype = tensor_pb2.DT_UINT8
    for size in (batch_size, spec.input_height, spec.input_width, 3):
        tensor.tensor_shape.dim.add(size=size)
    tensor.int_val.append(128)  # one value stands for all: TensorFlow repeats the last one
    return request


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of the protobuf wire format."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
