"""Images of several requests in one Predict.

An image that finds fewer than IN_FLIGHT requests under way is sent at once: alone it waits for nobody. What comes later waits
until one of them is answered, and is then sent together. So the time window is that of a Predict, and no clock is needed.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from serving.client import Answer, Described, PredictClient

IN_FLIGHT = 2  # requests of one model version
MAX_IMAGES = 32  # in one request
_THREADS = 8

Pixels = npt.NDArray[np.uint8]


_Kind = tuple[str, int, int, int, int, bool]  # model, version, height, width, classes, whether it gives novelty


@dataclass(slots=True)
class _Lane:
    """What waits for one model version."""

    kind: _Kind
    waiting: deque[tuple[Pixels, Future[Answer]]] = field(default_factory=deque)
    in_flight: int = 0


class PredictBatcher:
    """Collects images and sends them. Thread-safe."""

    def __init__(self, client: PredictClient) -> None:
        """Nothing is started yet.

        Args:
            client: of Serving; its time limit and retries are those of each batch.
        """
        self._client = client
        self._lock = threading.Lock()
        self._lanes: dict[_Kind, _Lane] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="predict")

    def submit(self, model: str, described: Described, pixels: Pixels) -> Future[Answer]:
        """Send an image, or let it wait for the next request.

        Args:
            model: the served name.
            described: the version, and what it says of itself.
            pixels: uint8 [height, width, 3].

        Returns:
            The answer to this image alone, or what `PredictClient.predict` raises for its batch.
        """
        future: Future[Answer] = Future()
        spec = described.spec
        kind = model, described.version, spec.input_height, spec.input_width, len(spec.classes), spec.novelty is not None
        with self._lock:
            lane = self._lanes.setdefault(kind, _Lane(kind))
            lane.waiting.append((pixels, future))
            begins = lane.in_flight < IN_FLIGHT
            lane.in_flight += begins
        if begins:
            self._threads.submit(self._run, lane)
        return future

    def close(self) -> None:
        """No more images; does not wait for those under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, lane: _Lane) -> None:
        while batch := self._take(lane):
            images = [pixels for pixels, _ in batch]
            futures = [future for _, future in batch]
            try:
                answer = self._predict(lane.kind, images)
            except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait get it
                for future in futures:
                    future.set_exception(error)
            else:
                for row, future in enumerate(futures):
                    future.set_result(_row(answer, row))

    def _take(self, lane: _Lane) -> list[tuple[Pixels, Future[Answer]]]:
        """The next batch; empty, and the request of this thread given back, if nothing waits."""
        batch: list[tuple[Pixels, Future[Answer]]] = []
        with self._lock:
            while lane.waiting and len(batch) < MAX_IMAGES:
                pixels, future = lane.waiting.popleft()
                if future.set_running_or_notify_cancel():
                    batch.append((pixels, future))
            if not batch:
                lane.in_flight -= 1
                if not lane.in_flight:
                    del self._lanes[lane.kind]
        return batch

    def _predict(self, kind: _Kind, images: list[Pixels]) -> Answer:
        model, version, _, _, classes, novelty = kind
        batch = np.stack(images)
        return self._client.predict_async(model, version, batch, classes=classes, row_by_row=True, novelty=novelty).answer()


def _row(answer: Answer, row: int) -> Answer:
    novelty = None if answer.novelty is None else answer.novelty[row : row + 1]
    return Answer(answer.probabilities[row : row + 1], novelty)
