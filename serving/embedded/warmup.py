"""Warm-up: a version's recorded requests run before it becomes AVAILABLE, so that no user waits for the first run.

`assets.extra/tf_serving_warmup_requests` is a TFRecord of PredictionLog; a record that fails, fails the load
(saved_model_warmup_util.cc). It also finds a graph that loads but cannot run before a client does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from tensorflow.python.lib.io import tf_record
from tensorflow_serving.apis import prediction_log_pb2

from core.telemetry.logs import get_logger
from serving.embedded.inference import prepare_inference
from serving.embedded.predict import prepare
from serving.embedded.servable import SavedModelServable
from serving.embedded.status import StatusError, invalid_argument
from serving.embedded.tensorflow_runtime import tf

_log = get_logger(__name__)

REQUESTS_FILE = Path("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS = 1000
_INFERENCE = frozenset({"classify_log", "regress_log", "multi_inference_log"})
_NOT_OFFERED = frozenset({"session_run_log"})


def warm_up(servable: SavedModelServable, path: Path, *, rounds: int = 1) -> int:
    """Run the warm-up requests of a version, if it has any.

    Args:
        servable: loaded from it.
        path: its folder.
        rounds: how often each request is run.

    Returns:
        How many were run. Records of RPCs that are not offered here are passed over, with a warning.

    Raises:
        StatusError: a record cannot be read or fails, or there are more than MAX_RECORDS.
    """
    file = path / REQUESTS_FILE
    if not file.is_file():
        return 0
    began, count = time.monotonic(), 0
    for number, log in enumerate(_records(file), start=1):
        if number > MAX_RECORDS:
            raise invalid_argument(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {file}")
        count += _run(servable, log, file, rounds)
    _log.info("warmed up", path=str(path), requests=count, seconds=round(time.monotonic() - began, 2))
    return count


def _run(servable: SavedModelServable, log: Any, file: Path, rounds: int) -> int:
    kind = log.WhichOneof("log_type")
    if kind in _NOT_OFFERED:
        _log.warning("warm-up record of an RPC that is not offered", kind=kind, file=str(file))
        return 0
    if kind == "predict_log":
        call = prepare(servable, log.predict_log.request)
    elif kind in _INFERENCE:
        call = prepare_inference(servable, getattr(log, kind).request)
    else:
        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    for _ in range(rounds):
        servable.run(call.feeds, call.fetches)
    return 1


def _records(file: Path) -> Iterator[Any]:
    try:
        for record in tf_record.tf_record_iterator(str(file)):
            yield _parse(record, file)
    except tf.errors.OpError as error:
        raise StatusError(
            grpc.StatusCode.DATA_LOSS, f"{error.message}. Please verify your warmup data is in TFRecord format."
        ) from error


def _parse(record: bytes, file: Path) -> Any:
    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid_argument(f"Failed to parse warmup record of {len(record)} bytes from {file}") from error
