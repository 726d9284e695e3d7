"""What can go wrong, as exceptions. Those of the server mirror its problem documents (RFC 9457) by their stable `code`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class DermqError(Exception):
    """The base of all errors of this package."""


class ConfigurationError(DermqError):
    """The address, the proxy, a package or an input cannot be used as given."""


class ProxyError(ConfigurationError):
    """The proxy that was named, or that the environment names, cannot be used."""


class UnreadableError(ConfigurationError):
    """A file or folder is not there, holds nothing, or cannot be read."""


class UnreachableError(DermqError):
    """No answer came: refused, reset, timed out, or the name is not known.

    Attributes:
        url: the server's address.
    """

    def __init__(self, url: str, cause: Exception, more: str = "") -> None:
        super().__init__(f"no DermQ server answers at {url}: {str(cause) or type(cause).__name__}{more}")
        self.url = url


class UnexpectedAnswerError(DermqError):
    """Something answers at the address, but not as DermQ does."""


class JobFailedError(DermqError):
    """A job that was waited for ended as failed or cancelled.

    Attributes:
        job: the job as it ended; its rows so far are kept.
    """

    def __init__(self, message: str, job: Any) -> None:
        super().__init__(message)
        self.job = job


class WaitTimeoutError(DermqError):
    """The job has not ended in the time that was given; it goes on.

    Attributes:
        job: the job as it was last seen.
    """

    def __init__(self, message: str, job: Any) -> None:
        super().__init__(message)
        self.job = job


class WebhookError(DermqError):
    """A webhook's signature, time or form is not right: do not act on it."""


class ProblemError(DermqError):
    """The server refused or failed, and said why.

    Attributes:
        status: HTTP status.
        code: stable code of the problem; empty where something other than DermQ answered.
        title: a few words on the kind of problem.
        detail: what was wrong with this request, and what to do.
        request_id: what the server's logs call the request.
        retry_after_s: seconds after which the server asks to be asked again; None where it does not say.
        problem: the whole document, with members of its own such as `quota`.
    """

    def __init__(self, message: str, status: int, problem: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem = dict(problem)
        self.retry_after_s = retry_after_s

    @property
    def code(self) -> str:
        return str(self.problem.get("code") or "")

    @property
    def title(self) -> str:
        return str(self.problem.get("title") or "")

    @property
    def detail(self) -> str:
        return str(self.problem.get("detail") or self)

    @property
    def request_id(self) -> str | None:
        value = self.problem.get("request_id")
        return None if value is None else str(value)


class InvalidRequestError(ProblemError):
    """`invalid_request`, `invalid_parameters`, `refused`, `unsupported_…`: the request has to change."""


class UnauthenticatedError(ProblemError):
    """`unauthenticated`: the request shows no API key that works."""


class ForbiddenError(ProblemError):
    """`missing_scope`, `forbidden_source`, `cross_site`, `unknown_host`: not for this key, or not on this server."""


class NotFoundError(ProblemError):
    """`not_found`, `unknown_model`: no such job, item or model for this caller."""


class GoneError(ProblemError):
    """`original_gone`: the archive is gone, and the original bytes with it; the rows are not."""


class ConflictError(ProblemError):
    """`conflict`: the job is in another state, or the idempotency key was used with another body."""


class TooLargeError(ProblemError):
    """`too_large`: the body is larger than the operator allows."""


class QuotaExceededError(ProblemError):
    """`quota_exceeded`: the tenant has used up what it may use; `problem["quota"]` says which limit."""


class ItemError(ProblemError):
    """The image has no result; `code` says why (`truncated`, `not_an_image`, …)."""


class ServerError(ProblemError):
    """`internal`, `misconfigured` and other faults of the server: its operator has to act."""


class UnavailableError(ProblemError):
    """`…_unavailable`, `upload_stalled`, `disk_full`: some part is away or overloaded; ask again."""


# By code; a code that is not here is taken by its status.
BY_CODE: Mapping[str, type[ProblemError]] = {
    "invalid_request": InvalidRequestError,
    "invalid_parameters": InvalidRequestError,
    "refused": InvalidRequestError,
    "unsupported_encoding": InvalidRequestError,
    "unsupported_type": InvalidRequestError,
    "unauthenticated": UnauthenticatedError,
    "missing_scope": ForbiddenError,
    "forbidden_source": ForbiddenError,
    "cross_site": ForbiddenError,
    "unknown_host": ForbiddenError,
    "not_found": NotFoundError,
    "unknown_model": NotFoundError,
    "original_gone": GoneError,
    "conflict": ConflictError,
    "quota_exceeded": QuotaExceededError,
    "internal": ServerError,
    "misconfigured": ServerError,
    "upload_stalled": UnavailableError,
    "unavailable": UnavailableError,
    "broker_unavailable": UnavailableError,
    "database_unavailable": UnavailableError,
    "serving_unavailable": UnavailableError,
    "storage_unavailable": UnavailableError,
    "disk_full": UnavailableError,
}
# With 422 only: elsewhere `not_found` and `too_large` speak of the request.
ITEM_CODES = frozenset(
    {"item_error", "not_an_image", "unsupported_format", "truncated", "damaged", "too_many_pixels", "too_large", "encrypted"}
    | {"bad_checksum", "unsafe_path", "empty", "not_found", "bad_row", "decoder_crash", "decode_timeout", "internal_error"}
    | {"rejected_by_model"}
)
BY_STATUS: Mapping[int, type[ProblemError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    408: UnavailableError,
    409: ConflictError,
    410: GoneError,
    413: TooLargeError,
    421: ForbiddenError,
    429: QuotaExceededError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


def problem_class(status: int, code: str) -> type[ProblemError]:
    """The class for a problem's status and code."""
    if status == 422 and code in ITEM_CODES:
        return ItemError
    fallback = ServerError if status >= 500 else InvalidRequestError
    return BY_CODE.get(code) or BY_STATUS.get(status, fallback)
