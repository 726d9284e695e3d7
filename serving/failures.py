"""gRPC statuses → DermQ's errors: what may be retried, what splits a batch, what ends a job. Only this file knows the codes."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from core.errors import (
    BatchRejectedError,
    DermqError,
    JobError,
    JobErrorCode,
    ModelContractError,
    ModelNotFoundError,
    ServingUnavailableError,
)

_AWAY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)

# TensorFlow Serving's words where signature and request do not fit each other (predict_util.cc): no batch would pass.
_CONTRACT_WORDS = (
    "input size does not match signature",
    "Signature input alias",
    "output tensor alias not found",
    "Expects arg[",
    "Serving signature key",
)
_UNKNOWN_LABEL = "Unrecognized servable version label"


@dataclass(frozen=True)
class Failure:
    """What one RPC came back with."""

    code: grpc.StatusCode
    details: str

    @classmethod
    def of(cls, error: grpc.RpcError) -> Failure:
        """Read code and details off a gRPC error, however it was raised."""
        return cls(error.code(), error.details() or "")

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code in _AWAY and not self._is_too_large

    @property
    def _is_too_large(self) -> bool:
        return self.code is grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in self.details


def to_error(failure: Failure, *, what: str, address: str, is_batch: bool = False) -> DermqError:
    """The domain's error for a failed call.

    Args:
        failure: the status.
        what: the call in words, "Predict of starter version 3" for instance.
        address: where the call went.
        is_batch: the call carried images, so that a refusal may be about one of them.
    """
    said = f"{what} at {address}: {failure.code.name}: {failure.details or 'no details'}"
    if failure.is_transient:
        return ServingUnavailableError(said)
    if failure.code is grpc.StatusCode.NOT_FOUND or _UNKNOWN_LABEL in failure.details:
        return ModelNotFoundError(f"{said}; `dermq models` lists what is served")
    if failure.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION} and any(
        words in failure.details for words in _CONTRACT_WORDS
    ):
        return ModelContractError(
            f"{said}; expected a SavedModel with the signatures 'serving_default' (uint8 images → probabilities) and "
            "'describe' (its ModelSpec): export the model again with training/export.py"
        )
    if is_batch and failure.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}:
        return BatchRejectedError(said)  # also a message over the server's limit: half a batch may fit
    return JobError(JobErrorCode.SERVING_ERROR, said)
