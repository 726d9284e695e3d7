"""Batcher: rows of several requests in one run, as TensorFlow Serving's BatchingSession over its SharedBatchScheduler.

Requests meet in a batch if they ask the same signature of the same version for the same outputs with rows of one shape. A batch
runs when it is full, or when a thread is free and it has waited long enough. Two things differ on purpose: nothing is padded,
and if a batch of several requests fails, each is run by itself, so that the refused image of one client fails no other one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import grpc
import numpy as np

from core.telemetry.logs import get_logger
from serving.embedded.batchingconfig import BatchingParameters
from serving.embedded.caller import Caller
from serving.embedded.predict import Array, Call
from serving.embedded.servercore import Served
from serving.embedded.status import StatusError, failed_precondition, invalid_argument

_log = get_logger(__name__)


class _Task:
    """One request. Everything but the constant parts is guarded by the batcher's lock."""

    def __init__(self, served: Served, call: Call, rows: int) -> None:
        self.served = served
        self.call = call
        self.rows = rows
        self.pieces = 0  # it was cut into
        self.running = 0
        self.answers: dict[int, list[Array]] = {}  # first row → outputs
        self.error: StatusError | None = None
        self.abandoned = False

    @property
    def is_done(self) -> bool:
        return not self.running and (self.error is not None or self.abandoned or len(self.answers) == self.pieces)

    def outputs(self) -> list[Array]:
        parts = [self.answers[first] for first in sorted(self.answers)]
        return parts[0] if len(parts) == 1 else [np.concatenate(each) for each in zip(*parts, strict=True)]


@dataclass(frozen=True)
class _Piece:
    """Rows [first, last) of a task."""

    task: _Task
    first: int
    last: int

    def feeds(self) -> list[Array]:
        return [array[self.first : self.last] for array in self.task.call.feeds.values()]


@dataclass
class _Batch:
    """Pieces that run together."""

    created_s: float
    pieces: list[_Piece] = field(default_factory=list)
    rows: int = 0

    def add(self, piece: _Piece) -> None:
        self.pieces.append(piece)
        self.rows += piece.last - piece.first

    def drop(self, task: _Task) -> None:
        self.pieces = [piece for piece in self.pieces if piece.task is not task]
        self.rows = sum(piece.last - piece.first for piece in self.pieces)


class Batcher:
    """Puts requests together and runs them on its own threads. Thread-safe."""

    def __init__(self, parameters: BatchingParameters) -> None:
        """Threads start at once."""
        self._parameters = parameters
        self._limit = parameters.execution_limit
        self._queues: dict[Hashable, deque[_Batch]] = {}  # none is empty; the last batch of each is open
        self._changed = threading.Condition()
        self._stopping = False
        names = (f"batch-{number}" for number in range(parameters.num_batch_threads))
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Run what waits, then end the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def run(self, served: Served, call: Call, caller: Caller) -> list[Array]:
        """Compute one request together with others.

        Args:
            served: held by the caller until this returns.
            call: every input has rows in its first dimension, equally many.
            caller: what of its rows has not begun leaves the queue when it waits no longer.

        Returns:
            One array per fetch.

        Raises:
            StatusError: INVALID_ARGUMENT, no rows or too many; UNAVAILABLE, the queue is full; DEADLINE_EXCEEDED; CANCELLED;
                or what the model says.
        """
        task = _Task(served, call, _count_rows(list(call.feeds.values())))
        with self._changed:
            self._enqueue(task)
            self._changed.notify_all()
            try:
                while not task.is_done:
                    caller.require("a batch to run")
                    self._changed.wait(caller.patience_s())
            except StatusError:
                self._withdraw(task)
                self._changed.wait_for(lambda: not task.running)  # what runs uses the servable
                raise
        if task.error is not None:
            raise task.error
        return task.outputs()

    def _withdraw(self, task: _Task) -> None:
        """Take out of the queue what has not begun, and give the places to others. Called with the lock held."""
        task.abandoned = True
        for key, queue in list(self._queues.items()):
            for batch in queue:
                batch.drop(task)
            kept = deque(batch for batch in queue if batch.pieces)
            if kept:
                self._queues[key] = kept
            else:
                del self._queues[key]

    def _enqueue(self, task: _Task) -> None:
        largest = self._parameters.max_batch_size
        if task.rows > largest:
            raise invalid_argument(f"Task size {task.rows} is larger than maximum input batch size {largest}")
        key = _key(task)
        queue = self._queues.get(key, deque())
        open_rows = queue[-1].rows if queue else 0
        room = self._limit - open_rows
        if self._parameters.splitting:
            self._check_capacity(task, queue, room)
        elif queue and task.rows > room and len(queue) >= self._parameters.max_enqueued_batches:
            raise StatusError(
                grpc.StatusCode.UNAVAILABLE,
                f"The batch scheduling queue to which this task was submitted is full; currently {len(queue)} batches "
                f"enqueued and max_enqueued_batches is {self._parameters.max_enqueued_batches}",
            )
        cuts = _cuts(task.rows, room if self._parameters.splitting and queue else self._limit, self._limit)
        for first, last in cuts:
            if not queue or queue[-1].rows + last - first > self._limit:
                queue.append(_Batch(time.monotonic()))
            queue[-1].add(_Piece(task, first, last))
        self._queues[key] = queue
        task.pieces = len(cuts)

    def _check_capacity(self, task: _Task, queue: Sequence[_Batch], room: int) -> None:
        most, enqueued = self._parameters.max_enqueued_batches, max(1, len(queue))
        capacity = (most - enqueued) * self._limit + room
        if task.rows > capacity:
            raise StatusError(
                grpc.StatusCode.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; "
                f"task size is {task.rows} but scheduling capacity is only {capacity} (num_enqueued_batches={enqueued}, "
                f"max_enqueued_batches={most}, open_batch_size={self._limit - room}, max_execution_batch_size={self._limit})",
            )

    def _work(self) -> None:
        while True:
            with self._changed:
                batch = self._next_batch()
                while batch is None:
                    if self._stopping:
                        return
                    self._changed.wait(self._until_due_s())
                    batch = self._next_batch()
                pieces = [piece for piece in batch.pieces if not piece.task.abandoned and piece.task.error is None]
                for piece in pieces:
                    piece.task.running += 1
            if pieces:
                self._run_together(pieces)

    def _next_batch(self) -> _Batch | None:
        """The oldest batch that is full, closed or due. Called with the lock held."""
        due = [key for key, queue in self._queues.items() if len(queue) > 1 or self._is_due(queue[0])]
        if not due:
            return None
        oldest = min(due, key=lambda key: self._queues[key][0].created_s)
        batch = self._queues[oldest].popleft()
        if not self._queues[oldest]:
            del self._queues[oldest]
        return batch

    def _is_due(self, batch: _Batch) -> bool:
        waited = time.monotonic() - batch.created_s
        return self._stopping or batch.rows >= self._limit or waited >= self._parameters.batch_timeout_s

    def _until_due_s(self) -> float | None:
        first = min((queue[0].created_s for queue in self._queues.values()), default=None)
        return None if first is None else max(0.0, first + self._parameters.batch_timeout_s - time.monotonic())

    def _run_together(self, pieces: Sequence[_Piece]) -> None:
        try:
            outputs = _run(pieces)
        except Exception as error:  # noqa: BLE001 - handed to the request that waits; the batch thread goes on
            if len(pieces) > 1:
                for piece in pieces:
                    self._run_together([piece])
                return
            self._fail(pieces[0].task, error)
            return
        with self._changed:
            start = 0
            for piece in pieces:
                end = start + piece.last - piece.first
                piece.task.answers[piece.first] = [array[start:end] for array in outputs]
                piece.task.running -= 1
                start = end
            self._changed.notify_all()

    def _fail(self, task: _Task, error: Exception) -> None:
        if isinstance(error, StatusError):
            status = error
        else:  # this server's own fault
            _log.error("internal error in a batch", exc_info=error)
            status = StatusError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        with self._changed:
            task.error = status
            task.running -= 1
            self._changed.notify_all()


def _run(pieces: Sequence[_Piece]) -> list[Array]:
    task = pieces[0].task
    parts = [piece.feeds() for piece in pieces]
    arrays = parts[0] if len(parts) == 1 else [np.concatenate(each) for each in zip(*parts, strict=True)]
    outputs = task.served.servable.run(dict(zip(task.call.feeds, arrays, strict=True)), task.call.fetches)
    rows = sum(piece.last - piece.first for piece in pieces)
    for array in outputs:
        if array.ndim == 0:
            raise failed_precondition("Batched output tensor has 0 dimensions")
        if len(array) != rows:
            raise failed_precondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors"
            )
    return outputs


def _key(task: _Task) -> Hashable:
    """What tasks must have in common to meet in a batch."""
    call = task.call
    rows = tuple((name, array.dtype.str, array.shape[1:]) for name, array in call.feeds.items())
    return task.served.name, task.served.version, call.signature, rows, tuple(call.fetches)


def _count_rows(arrays: Sequence[Array]) -> int:
    if not arrays:
        raise invalid_argument("Batching Run() must have at least one input tensor")
    if any(array.ndim == 0 for array in arrays):
        raise invalid_argument("Batching Run() input tensors must have at least one dimension")
    if len({len(array) for array in arrays}) > 1:
        raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
    return len(arrays[0])


def _cuts(rows: int, room: int, limit: int) -> list[tuple[int, int]]:
    """Row ranges of the pieces: the first fills up the open batch, the others are as large as a batch."""
    ends = [rows] if rows <= room else [*([room] if room else []), *range(room + limit, rows, limit), rows]
    return list(zip([0, *ends[:-1]], ends, strict=True))
