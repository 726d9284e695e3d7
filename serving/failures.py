"""gRPC statuses → DermQ's errors: what may be retried, what splits a batch, what ends a job. Only this file knows the codes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import grpc

from core.errors import (
    BatchRejectedError,
    DermqError,
    JobError,
    JobErrorCode,
    ModelContractError,
    ModelNotFoundError,
    ServingFaultError,
    ServingOverloadedError,
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
# A fault of the server, or of what stands between. gRPC makes UNKNOWN ("Stream removed") and INTERNAL (a reset stream, HTTP
# 400) of broken connections, and UNIMPLEMENTED, UNAUTHENTICATED, PERMISSION_DENIED of a proxy's HTTP 404, 401, 403.
_FAULTS = frozenset(
    {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
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
CONTRACT_ADVICE = (
    "expected the signatures 'serving_default' (uint8 images → probabilities) and 'describe' (its ModelSpec): wrap a model of "
    "another team (`dermq models wrap PATH --name NAME --classes a,b,...`), export one of DermQ's own again"
)


class Call(Enum):
    """What a call is for, which decides what its failure means."""

    QUESTION = auto()  # describe, metadata, status
    BATCH = auto()  # it carries images, so that a refusal may be about one of them
    CHANGE = auto()  # it changes what the server serves: a refusal is the answer


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
        return self.code in _AWAY and not self.is_too_large

    @property
    def is_fault(self) -> bool:
        """Whether the server, or what stands between, has failed in a way that says nothing of the request."""
        return self.code in _FAULTS and _UNKNOWN_LABEL not in self.details

    @property
    def is_too_large(self) -> bool:
        """Whether the message is over the server's limit: half a batch may fit."""
        return self.code is grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in self.details

    def may_pass(self, call: Call) -> bool:
        """Whether to send the same request again at once. Lack of memory is not met by sending the same batch again."""
        if call is Call.BATCH and self.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return False
        return self.is_transient or (self.is_fault and call is not Call.CHANGE)


def to_error(failure: Failure, *, what: str, address: str, call: Call = Call.QUESTION) -> DermqError:
    """The domain's error for a failed call.

    Args:
        failure: the status.
        what: the call in words, "Predict of starter version 3" for instance.
        address: where the call went.
        call: what it was for.
    """
    said = f"{what} at {address}: {failure.code.name}: {failure.details or 'no details'}"
    if failure.is_transient or (failure.is_fault and call is not Call.CHANGE):
        return _kind_of_outage(failure, call)(said)
    if failure.code is grpc.StatusCode.NOT_FOUND or _UNKNOWN_LABEL in failure.details:
        return ModelNotFoundError(f"{said}; `dermq models` lists what is served")
    if failure.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION} and any(
        words in failure.details for words in _CONTRACT_WORDS
    ):
        return ModelContractError(f"{said}; {CONTRACT_ADVICE}")
    if call is Call.BATCH and failure.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}:
        return BatchRejectedError(said)  # also a message over the server's limit: half a batch may fit
    return JobError(JobErrorCode.SERVING_ERROR, said)


def _kind_of_outage(failure: Failure, call: Call) -> type[ServingUnavailableError]:
    if call is not Call.BATCH:
        return ServingUnavailableError
    if failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ServingOverloadedError
    return ServingFaultError if failure.is_fault else ServingUnavailableError
