"""From batches to outcomes: at most two Predicts in flight, rejected batches bisected down to the guilty item."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from core.db.outcomes import ItemOutcome
from core.errors import BatchRejectedError, ItemErrorCode
from core.modelspec import ModelSpec
from core.precision import as_shown, shortest_floats
from serving.client import PendingPrediction, PredictClient
from worker.batches import Batch, DecodedItem
from worker.telemetry import metrics
from worker.telemetry.stopwatch import Stopwatch

IN_FLIGHT = 2  # one on the wire or in the model, one behind it; more only queues and costs memory


class Predictor:
    """Sends the batches of one chunk to one model version."""

    def __init__(
        self, client: PredictClient, model: str, version: int, spec: ModelSpec, stopwatch: Stopwatch | None = None
    ) -> None:
        self._client = client
        self._stopwatch = stopwatch or Stopwatch()
        self._model = model
        self._version = version
        self._spec = spec
        self._pending: deque[tuple[Batch, PendingPrediction]] = deque()

    def submit(self, batch: Batch) -> Iterator[ItemOutcome]:
        """Send a batch; yields outcomes of earlier ones once two are in flight, so that decoding overlaps the model.

        Raises:
            ServingUnavailableError: an outage; no image is at fault.
            JobError: the pinned version is gone or breaks its contract.
        """
        yield from batch.failures
        if batch.items:
            self._pending.append((batch, self._send(batch.filled)))
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
            self._model, self._version, images, classes=len(self._spec.classes), row_by_row=True
        )
        self._stopwatch.send_s += time.monotonic() - began
        metrics.BATCH_IMAGES.observe(len(images))
        return pending

    def _await(self, pending: PendingPrediction) -> npt.NDArray[np.float32]:
        began = time.monotonic()
        try:
            return pending.result()
        finally:
            self._stopwatch.predict_wait_s += time.monotonic() - began
            metrics.PREDICTS_IN_FLIGHT.put(len(self._pending))
            if pending.took_s is not None:
                metrics.PREDICT_SECONDS.observe(pending.took_s)

    def _collect(self) -> Iterator[ItemOutcome]:
        batch, pending = self._pending.popleft()
        try:
            probabilities = self._await(pending)
        except BatchRejectedError as error:
            metrics.BATCHES_REJECTED.add()
            yield from self._bisect(batch.items, batch.filled, error)
        else:
            yield from make_outcomes(self._spec, batch.items, probabilities)

    def _bisect(
        self, items: Sequence[DecodedItem], images: npt.NDArray[np.uint8], error: BatchRejectedError
    ) -> Iterator[ItemOutcome]:
        if len(items) == 1:
            yield _rejected(items[0], f"model {self._model} version {self._version} refuses this image: {error}")
            return
        middle = len(items) // 2
        for part in (slice(0, middle), slice(middle, None)):
            try:
                probabilities = self._await(self._send(images[part]))
            except BatchRejectedError as inner:
                yield from self._bisect(items[part], images[part], inner)
            else:
                yield from make_outcomes(self._spec, items[part], probabilities)


def _rejected(item: DecodedItem, message: str) -> ItemOutcome:
    return ItemOutcome(
        item.item_no,
        item.name,
        width=item.width,
        height=item.height,
        error_code=ItemErrorCode.REJECTED_BY_MODEL,
        error=message,
    )


def make_outcomes(
    spec: ModelSpec, items: Sequence[DecodedItem], probabilities: npt.NDArray[np.float32]
) -> Iterator[ItemOutcome]:
    """Label, score, risk and flag of each image. Risk and threshold have the precision in which they are shown.

    Args:
        spec: names the classes, the malignant ones and the threshold.
        items: the batch.
        probabilities: float32 [len(items), classes]. A row that is NaN fails: the model gave no probabilities for that image.
    """
    no_answer: npt.NDArray[np.bool_] = np.asarray(np.isnan(probabilities).any(axis=1))
    probabilities = np.nan_to_num(probabilities, nan=0.0)
    best = probabilities.argmax(axis=1)
    risks = probabilities[:, spec.malignant_indices].sum(axis=1, dtype=np.float64).clip(0.0, 1.0)
    shown = [risk for (risk,) in shortest_floats(risks[:, None])]
    threshold = as_shown(spec.threshold)
    wire = np.ascontiguousarray(probabilities, dtype="<f4")
    for row, item in enumerate(items):
        if no_answer[row]:
            yield _rejected(item, f"model {spec.name} answered this image with values that are no probabilities (0 to 1)")
            continue
        yield ItemOutcome(
            item_no=item.item_no,
            name=item.name,
            label=spec.classes[best[row]],
            score=float(probabilities[row, best[row]]),
            risk=shown[row],
            probabilities=wire[row].tobytes(),
            flag=shown[row] >= threshold,
            width=item.width,
            height=item.height,
            notes=item.notes,
        )
