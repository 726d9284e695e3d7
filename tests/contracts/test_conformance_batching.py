"""SERVING.md, "Batching file": one test per line. Official stubs, the embedded server with batching on; codes and messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from serving.embedded.tensorflow_runtime import tf
from serving.tensors import to_array
from tests.support.servers import wait_until
from tests.support.tiny_model import REJECTED_MEAN, export_tiny_model, tiny_probabilities

RANDOM = np.random.default_rng(11)


@dataclass
class Served:
    """A server that batches, and what it ran."""

    server: Any
    batcher: Any
    ran: list[int] = field(default_factory=list)  # rows of each run
    go_on: threading.Event = field(default_factory=threading.Event)

    def send(self, images: Any, *, timeout_s: float = 60, signature: str = "") -> Any:
        request = predict_pb2.PredictRequest(model_spec={"name": "m", "signature_name": signature})
        request.inputs["images"].CopyFrom(tf.make_tensor_proto(images))
        return self.server.prediction.Predict.future(request, timeout=timeout_s)

    def waiting(self) -> int:
        """Rows in the queue."""
        return sum(batch.rows for queue in list(self.batcher._queues.values()) for batch in list(queue))

    def refusal(self, images: Any) -> tuple[str, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self.send(images).result()
        return caught.value.code().name, caught.value.details()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("models") / "m"
    export_tiny_model(base, 1, rejecting=True)
    return base


@pytest.fixture
def serve(embedded: Any, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    """Start a server with this batching file; `held`: no run ends before `go_on`."""
    from serving.embedded.servable import SavedModelServable

    started: list[Served] = []

    def start(text: str, *, held: bool = False) -> Served:
        file = tmp_path / "batching.config"
        file.write_text(text)
        server, process = embedded(
            model_name="m", model_base_path=str(base), enable_batching=True, batching_parameters_file=str(file)
        )
        served, run = Served(server, process._batcher), SavedModelServable.run
        if not held:
            served.go_on.set()

        def noted(self: Any, feeds: Any, fetches: Any) -> Any:
            served.ran.append(len(next(iter(feeds.values()))))
            assert served.go_on.wait(30)
            return run(self, feeds, fetches)

        monkeypatch.setattr(SavedModelServable, "run", noted)
        started.append(served)
        return served

    yield start
    for served in started:
        served.go_on.set()


def images(count: int, side: int = 28) -> Any:
    return RANDOM.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def check(pending: Any, sent: Any) -> None:
    found = to_array(pending.result().outputs["probabilities"])
    np.testing.assert_allclose(found, tiny_probabilities(sent), atol=1e-5)


def enqueued(served: Served, count: int) -> list[Any]:
    """One request under way, and `count` of two rows waiting behind it."""
    first = served.send(images(2))
    wait_until(lambda: served.ran == [2], timeout_s=20, what="the first run begun")
    return [first, *(served.send(images(2)) for _ in range(count))]


ONE_THREAD = "num_batch_threads { value: 1 } max_enqueued_batches { value: 9 } "


def test_requests_of_several_clients_run_together_without_padding(serve: Any) -> None:
    served = serve(
        ONE_THREAD + "max_batch_size { value: 16 } batch_timeout_micros { value: 60000000 } allowed_batch_sizes: [8, 16]"
    )
    sent = [images(count) for count in (3, 4, 9)]
    pending = [served.send(each) for each in sent]
    for each, batch in zip(pending, sent, strict=True):
        check(each, batch)
    assert served.ran == [16]


def test_a_batch_that_is_not_full_waits_for_its_timeout(serve: Any) -> None:
    served = serve(ONE_THREAD + "max_batch_size { value: 16 } batch_timeout_micros { value: 10000 }")
    sent = images(3)
    check(served.send(sent), sent)
    assert served.ran == [3]


def test_a_request_larger_than_max_batch_size(serve: Any) -> None:
    served = serve("max_batch_size { value: 4 }")
    assert served.refusal(images(5)) == ("INVALID_ARGUMENT", "Task size 5 is larger than maximum input batch size 4")
    check(served.send(sent := images(4)), sent)


def test_a_large_request_is_split(serve: Any) -> None:
    served = serve(
        ONE_THREAD
        + "max_batch_size { value: 64 } max_execution_batch_size { value: 4 } enable_large_batch_splitting { value: true }"
    )
    sent = images(11)
    check(served.send(sent), sent)
    assert served.ran == [4, 4, 3]
    assert served.refusal(images(65)) == ("INVALID_ARGUMENT", "Task size 65 is larger than maximum input batch size 64")


@pytest.mark.parametrize("splitting", ["", " enable_large_batch_splitting { value: true }"], ids=["whole", "split"])
def test_what_nobody_waits_for_leaves_the_queue(serve: Any, splitting: str) -> None:
    served = serve(
        "num_batch_threads { value: 1 } max_enqueued_batches { value: 1 } max_batch_size { value: 4 }" + splitting, held=True
    )
    first, late, cancelled = enqueued(served, 0)[0], served.send(images(2), timeout_s=0.5), served.send(images(2))
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    cancelled.cancel()
    sent = images(4)

    def taken() -> bool:
        """Whether there is room for four rows; the server hears of the cancellation some time after."""
        pending.append(served.send(sent))
        wait_until(lambda: pending[-1].done() or served.waiting() == 4, timeout_s=20, what="an answer or a place")
        return not pending[-1].done()

    pending: list[Any] = []
    wait_until(taken, timeout_s=20, what="room in the queue", poll_s=0.2)
    served.go_on.set()
    check(pending[-1], sent)
    first.result()
    assert served.ran == [2, 4]


def test_a_full_queue_is_unavailable(serve: Any) -> None:
    served = serve("num_batch_threads { value: 1 } max_enqueued_batches { value: 1 } max_batch_size { value: 4 }", held=True)
    pending = enqueued(served, 4)
    wait_until(lambda: sum(each.done() for each in pending) == 2, timeout_s=20, what="two of four refused")
    refused = [each for each in pending if each.done()]
    assert {(each.code().name, each.details()) for each in refused} == {
        (
            "UNAVAILABLE",
            "The batch scheduling queue to which this task was submitted is full; "
            "currently 1 batches enqueued and max_enqueued_batches is 1",
        )
    }
    served.go_on.set()
    assert sum(each.result().outputs["probabilities"].tensor_shape.dim[0].size for each in pending if each not in refused) == 6
    assert served.ran == [2, 4]


def test_a_full_queue_is_unavailable_with_splitting_too(serve: Any) -> None:
    served = serve(
        "num_batch_threads { value: 1 } max_enqueued_batches { value: 2 } max_batch_size { value: 64 } "
        "max_execution_batch_size { value: 4 } enable_large_batch_splitting { value: true }",
        held=True,
    )
    enqueued(served, 0)
    assert served.refusal(images(9)) == (
        "UNAVAILABLE",
        "The batch scheduling queue to which this task was submitted is full; task size is 9 but scheduling capacity is only 8 "
        "(num_enqueued_batches=1, max_enqueued_batches=2, open_batch_size=0, max_execution_batch_size=4)",
    )


def test_the_deadline_bounds_the_wait_for_a_batch(serve: Any) -> None:
    served = serve("num_batch_threads { value: 1 } max_batch_size { value: 2 }", held=True)
    first, second = enqueued(served, 1)
    late = served.send(images(2), timeout_s=0.3)
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    served.go_on.set()
    first.result()
    second.result()
    assert served.ran == [2, 2]  # what nobody waits for is not run


def test_a_refused_image_fails_its_own_request_only(serve: Any) -> None:
    served = serve(ONE_THREAD + "max_batch_size { value: 4 } batch_timeout_micros { value: 60000000 }")
    sent = images(3)
    good, bad = served.send(sent), served.send(np.full((1, 28, 28, 3), REJECTED_MEAN, np.uint8))
    check(good, sent)
    assert bad.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert bad.details().startswith("assertion failed: [an image is refused]")


def test_rows_of_different_shapes_do_not_meet(serve: Any) -> None:
    served = serve(ONE_THREAD + "max_batch_size { value: 4 } batch_timeout_micros { value: 1000 }")
    sent = [images(2), images(2, side=5)]
    for each, batch in zip([served.send(each) for each in sent], sent, strict=True):
        check(each, batch)
    assert served.ran == [2, 2]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"images": np.uint8(1)}, "Batching Run() input tensors must have at least one dimension"),
    ],
)
def test_every_input_has_rows(serve: Any, inputs: dict[str, Any], words: str) -> None:
    served = serve("max_batch_size { value: 4 }")
    assert served.refusal(inputs["images"]) == ("INVALID_ARGUMENT", words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "Invalid protobuf file: "),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [2, 4]",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        ),
        (
            "max_batch_size { value: 8 } enable_large_batch_splitting { value: true } max_execution_batch_size { value: 4 } "
            "allowed_batch_sizes: [2, 8]",
            "Last entry in allowed_batch_sizes must be equal to max_execution_batch_size; last entry was 8; expected 4",
        ),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [4, 2, 8]", "must be in increasing order; got [4, 2, 8]"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        (
            "max_batch_size { value: 4 } enable_large_batch_splitting { value: true } max_execution_batch_size { value: 8 }",
            "max_batch_size must be at least max_execution_batch_size; got 4 and 8",
        ),
    ],
    ids=["no text", "allowed", "allowed, splitting", "order", "threads", "execution"],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, text: str, words: str) -> None:
    from serving.embedded.batchingconfig import read_batching_file
    from serving.embedded.status import StatusError

    (tmp_path / "batching.config").write_text(text)
    with pytest.raises(StatusError) as caught:
        read_batching_file(tmp_path / "batching.config")
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in caught.value.message


def test_tensorflow_servings_own_batching_file_is_read(shared_data: Path) -> None:
    from serving.embedded.batchingconfig import read_batching_file

    found = read_batching_file(shared_data / "tfserving" / "batching_config.txt")
    assert (found.max_batch_size, found.max_enqueued_batches, found.num_batch_threads) == (128, 1_000_000, 8)
