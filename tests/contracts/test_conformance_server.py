"""SERVING.md, "Warm-up, GPU, server": one test per line that a server without a GPU can show. Official stubs and messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2, prediction_log_pb2

from serving.embedded.tensorflow_runtime import tf
from tests.support.servers import wait_until
from tests.support.tiny_model import export_tiny_model

GREY = np.full((2, 28, 28, 3), 9, np.uint8)
REFUSED = np.full((1, 28, 28, 3), 77, np.uint8)


def request(images: Any = GREY, name: str = "m") -> Any:
    made = predict_pb2.PredictRequest(model_spec={"name": name})
    made.inputs["images"].CopyFrom(tf.make_tensor_proto(images))
    return made


def write_records(version: Path, records: Iterable[bytes]) -> None:
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record)


def predict_log(images: Any = GREY) -> bytes:
    return prediction_log_pb2.PredictionLog(predict_log={"request": request(images)}).SerializeToString()


def state(server: Any) -> tuple[int, int, str]:
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "m"})
    (found,) = server.management.GetModelStatus(asked, timeout=20).model_version_status
    return found.state, found.status.error_code, found.status.error_message


def test_warm_up_records_run_before_a_version_is_available(
    embedded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.embedded.servable import SavedModelServable

    run, ran = SavedModelServable.run, []

    def noted(self: Any, feeds: Any, fetches: Any) -> Any:
        ran.extend(len(array) for array in feeds.values())
        return run(self, feeds, fetches)

    monkeypatch.setattr(SavedModelServable, "run", noted)
    write_records(export_tiny_model(tmp_path / "m", 1), [predict_log(), predict_log(GREY[:1])])
    server, _ = embedded(model_name="m", model_base_path=str(tmp_path / "m"))
    assert state(server) == (30, 0, "")
    assert ran == [2, 1]


@pytest.mark.parametrize(
    ("records", "code", "words"),
    [
        ([predict_log(), predict_log(REFUSED)], 3, "assertion failed: [an image is refused]"),
        ([predict_log(GREY.astype(np.float32))], 3, "Expects arg[0] to be uint8 but float is provided"),
        ([b"no protobuf"], 3, "Failed to parse warmup record"),
        ([b""], 12, "Unsupported log_type for warmup"),
        ([predict_log(GREY[:1])] * 1001, 3, "Number of warmup records exceeds the maximum (1000)"),
    ],
    ids=["fails", "wrong dtype", "undecodable", "empty", "too many"],
)
def test_a_failing_warm_up_record_fails_the_load(
    embedded: Any, tmp_path: Path, records: list[bytes], code: int, words: str
) -> None:
    (tmp_path / "m").mkdir()
    config = tmp_path / "models.config"
    config.write_text("model_config_list {}")
    server, _ = embedded(model_config_file=str(config))
    write_records(export_tiny_model(tmp_path / "m", 1, rejecting=True), records)
    with pytest.raises(grpc.RpcError) as caught:
        server.reload(server.entry("m", base_path=str(tmp_path / "m")))
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert words in caught.value.details()
    assert state(server)[:2] == (50, code)


def test_a_warm_up_file_that_is_no_tfrecord_fails_the_load(embedded: Any, tmp_path: Path) -> None:
    from serving.embedded.status import StatusError

    write_records(export_tiny_model(tmp_path / "m", 1), [])
    (tmp_path / "m" / "1" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no record" * 9)
    with pytest.raises(StatusError, match=r"DATA_LOSS: .*verify your warmup data is in TFRecord format"):
        embedded(model_name="m", model_base_path=str(tmp_path / "m"))


def health(channel: grpc.Channel, service: bytes = b"") -> bytes:
    """The bytes of grpc.health.v1, by hand: field 1 of the request is the name, field 1 of the response the status."""
    name = b"\x0a" + bytes([len(service)]) + service if service else b""
    answer: bytes = channel.unary_unary("/grpc.health.v1.Health/Check")(name, timeout=20)
    return answer


def test_the_health_service_says_serving(server: Any) -> None:
    assert health(server.channel) == b"\x08\x01"
    with pytest.raises(grpc.RpcError) as caught:
        health(server.channel, b"nobody")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_health_service_is_there_only_with_its_flag(embedded: Any, tmp_path: Path) -> None:
    export_tiny_model(tmp_path / "m", 1)
    server, _ = embedded(model_name="m", model_base_path=str(tmp_path / "m"))
    with pytest.raises(grpc.RpcError) as caught:
        health(server.channel)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_watch_of_the_health_hears_of_the_end(embedded: Any, tmp_path: Path) -> None:
    export_tiny_model(tmp_path / "m", 1)
    server, process = embedded(model_name="m", model_base_path=str(tmp_path / "m"), enable_grpc_healthcheck_service=True)
    watch = server.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=60)
    assert next(watch) == b"\x08\x01"
    process.stop()
    assert list(watch) == [b"\x08\x02"]


def test_messages_over_the_four_megabytes_of_grpc_both_ways(server: Any) -> None:
    """The server takes them as it is; the client's own limit must be lifted (tensorflow/serving#1382)."""
    values = np.zeros(4_000_000, np.float32)  # 16 MB
    made = predict_pb2.PredictRequest(model_spec={"name": "half_plus_three"})
    made.inputs["x"].CopyFrom(tf.make_tensor_proto(values))
    with pytest.raises(grpc.RpcError) as caught:
        server.prediction.Predict(made, timeout=60)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "CLIENT: Received message larger than max" in caught.value.details()
    with grpc.insecure_channel(server.address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        response = predict_pb2.PredictResponse.FromString(call(made.SerializeToString(), timeout=60))
    assert response.outputs["y"].tensor_shape.dim[0].size == len(values)


@pytest.fixture
def busy(embedded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A server with one slot, whose runs last until they are let go."""
    from serving.embedded.servable import SavedModelServable

    export_tiny_model(tmp_path / "m", 1)
    run, begun, go_on = SavedModelServable.run, threading.Semaphore(0), threading.Event()

    def slowly(self: Any, feeds: Any, fetches: Any) -> Any:
        begun.release()
        assert go_on.wait(30)
        return run(self, feeds, fetches)

    def start(**options: Any) -> Any:
        server, _ = embedded(model_name="m", model_base_path=str(tmp_path / "m"), tensorflow_inter_op_parallelism=1, **options)
        monkeypatch.setattr(SavedModelServable, "run", slowly)
        return server, begun, go_on

    return start


def test_a_full_queue_is_unavailable(busy: Any) -> None:
    server, begun, go_on = busy(max_queued_requests=1)
    running = server.prediction.Predict.future(request(), timeout=60)
    assert begun.acquire(timeout=20)
    others = [server.prediction.Predict.future(request(), timeout=60) for _ in range(3)]
    wait_until(lambda: sum(each.done() for each in others) == 2, timeout_s=20, what="two of three refused")
    refused = [each for each in others if each.done()]
    assert {each.code() for each in refused} == {grpc.StatusCode.UNAVAILABLE}
    assert refused[0].details().startswith("The queue is full: 1 requests wait for 1 that run")
    go_on.set()
    for each in (running, *others):
        if each not in refused:
            assert each.result().outputs["probabilities"].tensor_shape.dim[0].size == 2


def test_a_cancelled_request_gives_its_place_to_another(busy: Any) -> None:
    server, begun, go_on = busy(max_queued_requests=1)
    running = server.prediction.Predict.future(request(), timeout=60)
    assert begun.acquire(timeout=20)
    waiting: list[Any] = []

    def place_taken() -> bool:
        """By `waiting`: a probe that came before it has to give the place back first."""
        if not waiting or waiting[-1].done():
            waiting.append(server.prediction.Predict.future(request(), timeout=60))
        probe = server.prediction.Predict.future(request(), timeout=1)
        return probe.code() != grpc.StatusCode.DEADLINE_EXCEEDED and not waiting[-1].done()

    wait_until(place_taken, timeout_s=20, what="the one place taken")
    waiting[-1].cancel()
    others: list[Any] = []

    def taken() -> bool:
        others.append(server.prediction.Predict.future(request(), timeout=60))
        time.sleep(0.2)
        return not others[-1].done()

    wait_until(taken, timeout_s=20, what="the place given to another")
    go_on.set()
    running.result()
    assert others[-1].result().outputs["probabilities"].tensor_shape.dim[0].size == 2


def test_the_deadline_bounds_the_wait(busy: Any) -> None:
    server, begun, go_on = busy()
    running = server.prediction.Predict.future(request(), timeout=60)
    assert begun.acquire(timeout=20)
    late = [server.prediction.Predict.future(request(), timeout=0.3) for _ in range(2)]
    assert {each.code() for each in late} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert not running.done()  # they have not waited for the one before them
    go_on.set()
    running.result()
    assert not begun.acquire(timeout=0.2)  # what nobody waits for is not run
