"""The error tree. Whether an error may be retried is a property of the error; protocol codes are not known here.

Each message names the thing, what was expected, what came, and what to do about it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Fault(StrEnum):
    """Who can put an error right."""

    CALLER = "caller"  # who submitted the job: the request and its parameters
    ARCHIVE = "archive"  # the bytes that were handed in
    MODEL = "model"  # whoever exported the served model
    OPERATOR = "operator"  # settings, permissions, capacity, what is mounted
    SERVICE = "service"  # DermQ itself, or the model server


class ErrorCode(StrEnum):
    """A stable word for an error, and what is known of it in advance: value, fault, retryable, sentence."""

    _value_: str
    fault: Fault  # who can put it right
    retryable: bool  # `dermq retry` may help, once that has been done; if not, only another submission can
    sentence: str  # why, for people

    # The defaults are for the type checker, which takes ItemErrorCode("truncated") for a call of this. A test asks for all.
    def __new__(cls, value: str, fault: Fault = Fault.SERVICE, retryable: bool = False, sentence: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.fault, member.retryable, member.sentence = fault, retryable, sentence
        return member


class ItemErrorCode(ErrorCode):
    """Why one image has no probabilities. Stable: clients filter and count by these words."""

    NOT_AN_IMAGE = "not_an_image", Fault.ARCHIVE, False, "The bytes are of no known image format."
    UNSUPPORTED_FORMAT = "unsupported_format", Fault.ARCHIVE, False, "A format or a way of packing that is not supported."
    TRUNCATED = "truncated", Fault.ARCHIVE, False, "The bytes end before the image does."
    DAMAGED = "damaged", Fault.ARCHIVE, False, "All bytes are there, but they break the format's rules, or its checksum."
    TOO_MANY_PIXELS = "too_many_pixels", Fault.ARCHIVE, True, "The header announces more pixels than the limit."
    TOO_LARGE = "too_large", Fault.ARCHIVE, True, "More bytes than the limit for one member."
    ENCRYPTED = "encrypted", Fault.ARCHIVE, False, "The member needs a password."
    BAD_CHECKSUM = "bad_checksum", Fault.ARCHIVE, False, "The member's bytes, or its own header, contradict the archive."
    UNSAFE_PATH = "unsafe_path", Fault.ARCHIVE, False, "An absolute name, a name with '..', a link or a device."
    EMPTY = "empty", Fault.ARCHIVE, False, "No bytes at all."
    NOT_FOUND = "not_found", Fault.ARCHIVE, True, "A manifest or listing names bytes that are not there."
    BAD_ROW = "bad_row", Fault.ARCHIVE, False, "The row of the table has more cells than its header."
    DECODER_CRASH = "decoder_crash", Fault.SERVICE, True, "The process died on it, again and again."
    DECODE_TIMEOUT = "decode_timeout", Fault.SERVICE, True, "It took longer than the limit."
    INTERNAL_ERROR = "internal_error", Fault.SERVICE, True, "An error of DermQ that nobody foresaw; the worker's log has it."
    REJECTED_BY_MODEL = "rejected_by_model", Fault.MODEL, True, "The model refuses this very image."


class JobErrorCode(ErrorCode):
    """Why nothing, or nothing more, of a job is classified. Stable, as above."""

    UNREADABLE_ARCHIVE = "unreadable_archive", Fault.ARCHIVE, False, "The archive is damaged, cut off, or of no supported kind."
    ENCRYPTED_ARCHIVE = "encrypted_archive", Fault.ARCHIVE, False, "The archive's list of members needs a password."
    ARCHIVE_BOMB = "archive_bomb", Fault.ARCHIVE, False, "Unpacking the archive would take too much room."
    ARCHIVE_GONE = "archive_gone", Fault.OPERATOR, True, "The archive was deleted or moved, or its storage is not mounted."
    SOURCE_DENIED = "source_denied", Fault.OPERATOR, True, "The bucket of the source refuses DermQ's credentials."
    FORBIDDEN_SOURCE = "forbidden_source", Fault.CALLER, True, "The operator does not allow this source."
    UNKNOWN_MODEL = "unknown_model", Fault.CALLER, True, "Serving has no such model, version or label."
    MODEL_CONTRACT = "model_contract", Fault.MODEL, True, "The served model does not describe itself as DermQ expects."
    SERVING_ERROR = "serving_error", Fault.SERVICE, True, "The model server refused a call for an unknown reason."
    PREPARE_CRASH = "prepare_crash", Fault.SERVICE, True, "The worker died again and again while it listed the archive."
    PREPARE_TIMEOUT = "prepare_timeout", Fault.ARCHIVE, True, "Listing the archive took longer than the limit of the task."
    INTERNAL_ERROR = "internal_error", Fault.SERVICE, True, "An error of DermQ that nobody foresaw; the worker's log has it."
    ERROR_BUDGET = "error_budget", Fault.ARCHIVE, False, "More items failed than the job's error budget allows."


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

    def __init__(self, code: JobErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class ArchiveError(JobError):
    """The archive as a whole cannot be read."""

    def __init__(self, message: str, code: JobErrorCode = JobErrorCode.UNREADABLE_ARCHIVE) -> None:
        super().__init__(code, message)


class ModelNotFoundError(JobError):
    """Serving has no such model, version or label."""

    def __init__(self, message: str) -> None:
        super().__init__(JobErrorCode.UNKNOWN_MODEL, message)


class ModelContractError(JobError):
    """The served model does not keep the contract of signatures, shapes or preprocessing."""

    def __init__(self, message: str) -> None:
        super().__init__(JobErrorCode.MODEL_CONTRACT, message)


class BatchRejectedError(PermanentError):
    """The model refuses this batch (INVALID_ARGUMENT). Bisect to find the item."""


class ConfigurationError(PermanentError):
    """A setting names something that this machine does not have or does not allow."""


class ForbiddenSourceError(JobError):
    """The operator does not allow to read from there: refused at submission, and again where a worker opens it."""

    def __init__(self, message: str) -> None:
        super().__init__(JobErrorCode.FORBIDDEN_SOURCE, message)


class InvalidRequestError(PermanentError):
    """The request cannot be understood as it stands."""


class NotFoundError(PermanentError):
    """No such job, item or model for this tenant."""


class ConflictError(PermanentError):
    """The request contradicts the present state (another body under the same idempotency key, say)."""


class WorseModelError(ConflictError):
    """A version's own figures speak against its promotion."""


class TooLargeError(PermanentError):
    """An upload is over the limit."""


class QuotaExceededError(PermanentError):
    """A tenant has used up what it may use.

    Args:
        message: names what there is, the limit, and what to do.
        quota: the limit's name, as `dermq tenants` has it.
        limit: its value.
        retry_after_s: when to ask again.
    """

    def __init__(self, message: str, *, quota: str, limit: int, retry_after_s: int) -> None:
        super().__init__(message)
        self.quota, self.limit, self.retry_after_s = quota, limit, retry_after_s


class ServingUnavailableError(TransientError):
    """TensorFlow Serving does not answer, or not in time."""

    waits_for = "serving"


class ServingOverloadedError(ServingUnavailableError):
    """TensorFlow Serving has not enough memory for this batch (RESOURCE_EXHAUSTED): a smaller one may pass."""


class ServingFaultError(ServingUnavailableError):
    """TensorFlow Serving failed on this batch by a fault of its own (INTERNAL, UNKNOWN): the server, or one of the images."""


class StorageUnavailableError(TransientError):
    """The object storage does not answer."""

    waits_for = "storage"


class BrokerUnavailableError(TransientError):
    """Redis does not take messages."""

    waits_for = "broker"


class WorkersSilentError(TransientError):
    """No worker process gives a sign of life, though there is work."""

    waits_for = "worker"


class DatabaseUnavailableError(TransientError):
    """The database does not answer."""

    waits_for = "database"
