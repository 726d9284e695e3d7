"""The error tree. Whether an error may be retried is a property of the error; protocol codes are not known here.

Each message names the thing, what was expected, what came, and what to do about it.
"""

from __future__ import annotations

from enum import StrEnum


class ItemErrorCode(StrEnum):
    """Why one image has no probabilities. Stable: clients filter and count by these words."""

    NOT_AN_IMAGE = "not_an_image"  # the bytes are of no known image format
    UNSUPPORTED_FORMAT = "unsupported_format"  # an image or a compression method that is not on the allow-list
    TRUNCATED = "truncated"  # the bytes end before the image does
    DAMAGED = "damaged"  # all bytes are there, but they break the format's rules, or a checksum within the image is wrong
    TOO_MANY_PIXELS = "too_many_pixels"  # the header announces more pixels than the limit
    TOO_LARGE = "too_large"  # more bytes than the limit for one member
    ENCRYPTED = "encrypted"  # the member needs a password
    BAD_CHECKSUM = "bad_checksum"  # the member's bytes do not match the archive's checksum
    UNSAFE_PATH = "unsafe_path"  # an absolute name, a name with '..', a link or a device
    EMPTY = "empty"  # no bytes at all
    NOT_FOUND = "not_found"  # a manifest or listing names bytes that are not there
    BAD_ROW = "bad_row"  # a row of a table has more cells than its header, so that no cell can be told apart
    DECODER_CRASH = "decoder_crash"  # the process died on it, again and again
    DECODE_TIMEOUT = "decode_timeout"  # it took longer than the limit
    REJECTED_BY_MODEL = "rejected_by_model"  # the model refuses this very image


class DermqError(Exception):
    """Root of all errors that DermQ raises on purpose."""

    retryable: bool = False


class PermanentError(DermqError):
    """The same call will fail again: the input or the request must change."""


class TransientError(DermqError):
    """A dependency is unavailable or overloaded: the same call may succeed later."""

    retryable = True
    waits_for = "unknown"  # the part whose return is awaited, as shown to the user


class ItemError(PermanentError):
    """One image cannot be classified. It fails that item and nothing else."""

    def __init__(self, code: ItemErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[ItemError], tuple[ItemErrorCode, str]]:
        return type(self), (self.code, str(self))


class JobError(PermanentError):
    """Nothing of the job can be classified (unreadable archive, unknown model). `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ArchiveError(JobError):
    """The archive as a whole cannot be read."""

    def __init__(self, message: str, code: str = "unreadable_archive") -> None:
        super().__init__(code, message)


class ModelNotFoundError(JobError):
    """Serving has no such model, version or label."""

    def __init__(self, message: str) -> None:
        super().__init__("unknown_model", message)


class ModelContractError(JobError):
    """The served model does not keep the contract of signatures, shapes or preprocessing."""

    def __init__(self, message: str) -> None:
        super().__init__("model_contract", message)


class BatchRejectedError(PermanentError):
    """The model refuses this batch (INVALID_ARGUMENT). Bisect to find the item."""


class ConfigurationError(PermanentError):
    """A setting names something that this machine does not have or does not allow."""


class ForbiddenSourceError(JobError):
    """The operator does not allow to read from there: refused at submission, and again where a worker opens it."""

    def __init__(self, message: str) -> None:
        super().__init__("forbidden_source", message)


class InvalidRequestError(PermanentError):
    """The request cannot be understood as it stands."""


class NotFoundError(PermanentError):
    """No such job, item or model for this tenant."""


class ConflictError(PermanentError):
    """The request contradicts the present state (another body under the same idempotency key, say)."""


class TooLargeError(PermanentError):
    """An upload is over the limit."""


class ServingUnavailableError(TransientError):
    """TensorFlow Serving does not answer, or not in time."""

    waits_for = "serving"


class StorageUnavailableError(TransientError):
    """The object storage does not answer."""

    waits_for = "storage"


class BrokerUnavailableError(TransientError):
    """Redis does not take messages."""

    waits_for = "broker"


class DatabaseUnavailableError(TransientError):
    """The database does not answer."""

    waits_for = "database"
