"""StatusError: a gRPC code and TensorFlow Serving's words for it, raised anywhere below the servicers."""

from __future__ import annotations

import grpc

_LIMIT = 1024  # characters; util.cc cuts there


class StatusError(Exception):
    """The request ends with this code and message."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    @property
    def details(self) -> str:
        """The message as it goes out: cut like TensorFlow Serving's."""
        return self.message if len(self.message) <= _LIMIT else f"{self.message[:_LIMIT]}...TRUNCATED"


def invalid_argument(message: str) -> StatusError:
    """The request is wrong by itself."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def failed_precondition(message: str) -> StatusError:
    """The request does not fit the server's present state."""
    return StatusError(grpc.StatusCode.FAILED_PRECONDITION, message)


def not_found(message: str) -> StatusError:
    """No such thing."""
    return StatusError(grpc.StatusCode.NOT_FOUND, message)
