"""`--batching_parameters_file` → BatchingParameters, checked as `batching_session.cc` and `bundle_factory_util.cc` check it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.processors import usable_processors
from serving.embedded.status import invalid_argument
from serving.embedded.textconfig import read_text
from serving.protos import batching_pb2


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are put together. Defaults are those of shared_batch_scheduler.h."""

    max_batch_size: int = 1000  # rows of one request, and of one batch unless it says otherwise below
    batch_timeout_s: float = 0.0  # how long a batch that is not full waits for more, with a thread free
    max_enqueued_batches: int = 10  # of one signature
    num_batch_threads: int = field(default_factory=usable_processors)  # batches that run at once
    splitting: bool = False  # a request may be spread over several batches
    max_execution_batch_size: int = 0  # rows of one batch if splitting; 0: max_batch_size

    @property
    def execution_limit(self) -> int:
        """Rows of one batch."""
        return (self.max_execution_batch_size or self.max_batch_size) if self.splitting else self.max_batch_size


def read_batching_file(path: Path) -> BatchingParameters:
    """Parse a `--batching_parameters_file`.

    `allowed_batch_sizes` are checked, then not used: they pad batches up to sizes that an accelerator has compiled kernels for,
    and on a CPU the padding is waste.

    Raises:
        StatusError: INVALID_ARGUMENT, it is no text of BatchingParameters, or contradicts itself.
        OSError: it cannot be read.
    """
    proto = read_text(path, batching_pb2.BatchingParameters())
    chosen = {
        name: getattr(proto, name).value
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads", "max_execution_batch_size")
        if proto.HasField(name)
    }
    for name, value in chosen.items():
        if value < 1:
            raise invalid_argument(f"{name} must be positive; was {value}")
    parameters = BatchingParameters(
        **chosen, batch_timeout_s=proto.batch_timeout_micros.value / 1e6, splitting=proto.enable_large_batch_splitting.value
    )
    _check(parameters, proto.allowed_batch_sizes)
    return parameters


def _check(parameters: BatchingParameters, allowed: Sequence[int]) -> None:
    limit, largest = parameters.execution_limit, parameters.max_batch_size
    if limit > largest:
        raise invalid_argument(f"max_batch_size must be at least max_execution_batch_size; got {largest} and {limit}")
    if list(allowed) != sorted(set(allowed)):
        raise invalid_argument(f"allowed_batch_sizes must be in increasing order; got {list(allowed)}")
    if allowed and allowed[-1] != limit:
        name = "be equal to max_execution_batch_size" if parameters.splitting else "match max_batch_size"
        raise invalid_argument(f"Last entry in allowed_batch_sizes must {name}; last entry was {allowed[-1]}; expected {limit}")
