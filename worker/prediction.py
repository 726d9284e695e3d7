"""From batches to outcomes: at most two Predicts in flight, refused batches taken apart.

| answer of Serving | what it means | what is done |
|---|---|---|
| RESOURCE_EXHAUSTED | not enough memory for so many images | half as many, remembered; at one image it is an outage |
| INVALID_ARGUMENT | the model refuses one of the images | halves, down to the image that is refused |
| INTERNAL, UNKNOWN, … | the server has failed, or one image makes it fail | a neutral picture tells which: outage, or halves |
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.db.outcomes import ItemOutcome
from core.errors import BatchRejectedError, ServingFaultError, ServingOverloadedError
from core.modelspec import ModelSpec
from core.telemetry.logs import get_logger
from serving.client import Answer, PendingPrediction, PredictClient
from serving.outcomes import DecodedItem, make_outcomes, rejected
from worker.batches import Batch
from worker.batchlimits import BatchLimits
from worker.telemetry import metrics
from worker.telemetry.stopwatch import Stopwatch

IN_FLIGHT = 2  # one on the wire or in the model, one behind it; more only queues and costs memory
_GREY = 128

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Part:
    """Images that go to Serving in one request."""

    items: Sequence[DecodedItem]
    images: npt.NDArray[np.uint8]  # [len(items), height, width, 3]
    ceiling: int  # images that a request may have at most

    def __len__(self) -> int:
        return len(self.items)

    def piece(self, begin: int, end: int) -> _Part:
        return _Part(self.items[begin:end], self.images[begin:end], self.ceiling)


class Predictor:
    """Sends the batches of one chunk to one model version."""

    def __init__(
        self,
        client: PredictClient,
        model: str,
        version: int,
        spec: ModelSpec,
        stopwatch: Stopwatch | None = None,
        *,
        limits: BatchLimits | None = None,
    ) -> None:
        self._client = client
        self._stopwatch = stopwatch or Stopwatch()
        self._limits = limits or BatchLimits()
        self._model = model
        self._version = version
        self._spec = spec
        self._pending: deque[tuple[_Part, PendingPrediction]] = deque()

    def submit(self, batch: Batch) -> Iterator[ItemOutcome]:
        """Send a batch; yields outcomes of earlier ones once two are in flight, so that decoding overlaps the model.

        Raises:
            ServingUnavailableError: an outage; no image is at fault.
            JobError: the pinned version is gone or breaks its contract.
        """
        yield from batch.failures
        left = _Part(batch.items, batch.filled, len(batch.images))
        while left.items:
            size = self._limits.images(self._model, self._version, left.ceiling)
            part, left = left.piece(0, size), left.piece(size, len(left))
            self._pending.append((part, self._send(part.images)))
            metrics.PREDICTS_IN_FLIGHT.put(len(self._pending))
            while len(self._pending) >= IN_FLIGHT:
                yield from self._collect()

    def drain(self) -> Iterator[ItemOutcome]:
        """Outcomes of all that is still in flight."""
        while self._pending:
            yield from self._collect()

    def cancel(self) -> None:
        """Nobody waits for what is in flight any more."""
        while self._pending:
            self._pending.popleft()[1].cancel()
        metrics.PREDICTS_IN_FLIGHT.put(0)

    def _send(self, images: npt.NDArray[np.uint8]) -> PendingPrediction:
        began = time.monotonic()
        pending = self._client.predict_async(
            self._model,
            self._version,
            images,
            classes=len(self._spec.classes),
            row_by_row=True,
            novelty=self._spec.novelty is not None,
        )
        self._stopwatch.send_s += time.monotonic() - began
        metrics.BATCH_IMAGES.observe(len(images))
        return pending

    def _await(self, pending: PendingPrediction) -> Answer:
        began = time.monotonic()
        try:
            return pending.answer()
        finally:
            self._stopwatch.predict_wait_s += time.monotonic() - began
            metrics.PREDICTS_IN_FLIGHT.put(len(self._pending))
            if pending.took_s is not None:
                metrics.PREDICT_SECONDS.observe(pending.took_s)

    def _collect(self) -> Iterator[ItemOutcome]:
        part, pending = self._pending.popleft()
        yield from self._resolve(part, pending, is_whole=True)

    def _resolve(self, part: _Part, pending: PendingPrediction, *, is_whole: bool = False) -> Iterator[ItemOutcome]:
        try:
            answer = self._await(pending)
        except ServingOverloadedError as error:
            yield from self._with_less(part, error)
        except (BatchRejectedError, ServingFaultError) as error:
            if isinstance(error, ServingFaultError):
                self._require_sound_server(error)
            if is_whole:
                metrics.BATCHES_REJECTED.add()
            yield from self._bisect(part, error)
        else:
            self._limits.note_passed(self._model, self._version, len(part), part.ceiling)
            yield from make_outcomes(self._spec, part.items, answer)

    def _with_less(self, part: _Part, error: ServingOverloadedError) -> Iterator[ItemOutcome]:
        """The same images in smaller requests, each answered before the next one is sent: memory is scarce."""
        self._limits.note_refused(self._model, self._version, len(part))
        metrics.BATCHES_HALVED.add()
        log.warning("batch_halved", model=self._model, version=self._version, images=len(part), error=str(error))
        if len(part) == 1:
            raise error
        left = part
        while left.items:
            size = self._limits.images(self._model, self._version, max(1, len(part) // 2))
            piece, left = left.piece(0, size), left.piece(size, len(left))
            yield from self._resolve(piece, self._send(piece.images))

    def _require_sound_server(self, error: ServingFaultError) -> None:
        """A server that fails on a plain grey picture, too, is at fault; else it is one of the images.

        Raises:
            ServingUnavailableError: it fails on that, too.
        """
        size = (1, self._spec.input_height, self._spec.input_width, 3)
        log.warning("predict_failed", model=self._model, version=self._version, error=str(error))
        try:
            self._await(self._send(np.full(size, _GREY, np.uint8)))
        except BatchRejectedError:  # it computes: that picture is refused for what it shows
            return

    def _bisect(self, part: _Part, error: BatchRejectedError | ServingFaultError) -> Iterator[ItemOutcome]:
        if len(part) == 1:
            verb = "fails on" if isinstance(error, ServingFaultError) else "refuses"
            yield rejected(part.items[0], f"model {self._model} version {self._version} {verb} this image: {error}")
            return
        middle = len(part) // 2
        for half in (part.piece(0, middle), part.piece(middle, len(part))):
            yield from self._resolve(half, self._send(half.images))
