"""Images of several requests in one Predict: what is sent together, and what each request gets."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt
import pytest

from api.interactive.batching import IN_FLIGHT, MAX_IMAGES, PredictBatcher
from core.errors import BatchRejectedError
from serving.client import Answer, Described, PendingPrediction, PredictClient
from tests.support.tiny_model import tiny_spec

DESCRIBED = Described(tiny_spec(classes=("a", "b")), 3)


class HeldClient(PredictClient):
    """Answers when it is let go, each image with its own shade; refuses shade 77."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.batches: list[tuple[int, int]] = []  # version and images
        self.sent = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)

    def predict_async(  # type: ignore[no-untyped-def]
        self, model: str, version: int, images: npt.NDArray[np.uint8], *, classes=None, row_by_row=False, novelty=False
    ):
        self.batches.append((version, len(images)))
        self.sent.release()

        def answer() -> Answer:
            assert self.let_go.acquire(timeout=20)
            shades = images[:, 0, 0, 0]
            if (shades == 77).any():
                raise BatchRejectedError("assertion failed: 77")
            return Answer(np.stack([shades / 255, 1 - shades / 255], axis=1).astype(np.float32))

        return PendingPrediction(answer, lambda: None)


def submit(batcher: PredictBatcher, shades: range | list[int], described: Described = DESCRIBED) -> list[Future[Answer]]:
    return [batcher.submit("tiny", described, np.full((28, 28, 3), shade, np.uint8)) for shade in shades]


def test_what_comes_while_requests_are_under_way_is_sent_together() -> None:
    client = HeldClient()
    batcher = PredictBatcher(client)
    first = submit(batcher, range(IN_FLIGHT))
    for _ in range(IN_FLIGHT):
        assert client.sent.acquire(timeout=20)
    later = submit(batcher, range(IN_FLIGHT, IN_FLIGHT + MAX_IMAGES + 5))
    client.let_go.release(10)
    for shade, future in enumerate(first + later):
        assert future.result(20).probabilities.tolist() == np.array([[shade / 255, 1 - shade / 255]], np.float32).tolist()
    assert sorted(client.batches) == sorted([(3, 1)] * IN_FLIGHT + [(3, MAX_IMAGES), (3, 5)])
    batcher.close()


def test_versions_are_never_mixed_and_a_request_that_gave_up_is_left_out() -> None:
    client = HeldClient()
    batcher = PredictBatcher(client)
    under_way = submit(batcher, [1] * IN_FLIGHT)
    for _ in range(IN_FLIGHT):
        assert client.sent.acquire(timeout=20)
    other = submit(batcher, [5], Described(DESCRIBED.spec, 4))
    gone, stays = submit(batcher, [6, 7])
    assert gone.cancel()
    client.let_go.release(10)
    for future in [*under_way, *other, stays]:
        future.result(20)
    assert sorted(client.batches) == [(3, 1)] * (IN_FLIGHT + 1) + [(4, 1)]
    batcher.close()


def test_all_of_a_batch_hear_of_its_error_and_the_next_one_goes() -> None:
    client = HeldClient()
    batcher = PredictBatcher(client)
    client.let_go.release(10)
    [refused] = submit(batcher, [77])
    with pytest.raises(BatchRejectedError):
        refused.result(20)
    [fine] = submit(batcher, [51])
    assert fine.result(20).probabilities[0, 0] == np.float32(0.2)
    batcher.close()
