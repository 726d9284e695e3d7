"""The only map from errors to HTTP: every error leaves as application/problem+json (RFC 9457).

`type` is an address under /v1/problems that says what the problem means; `code` is its last part, stable, for programs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.intake.diskspace import DiskFullError
from api.subpath import SUBPATH
from core import errors
from core.telemetry.logs import get_logger

PROBLEM_TYPE = "application/problem+json"
PROBLEM_PATH = "/v1/problems"
_RETRY_AFTER_S = 5
_CLIENT_CLOSED = 499  # nginx's number; nobody is there to read it

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: its HTTP status, stable code, title, and what it means."""

    status: int
    code: str
    title: str
    meaning: str


class UploadStalledError(errors.InvalidRequestError):
    """No byte of the body came for too long."""


class UnauthenticatedError(errors.PermanentError):
    """The request shows no key, or none that works.

    Args:
        message: for the client.
        shown: whether it shows one (RFC 6750, 3.1: only then is there an error code).
    """

    def __init__(self, message: str, *, shown: bool = False) -> None:
        super().__init__(message)
        self.challenge = 'Bearer realm="DermQ"' + (', error="invalid_token"' if shown else "")


class MissingScopeError(errors.PermanentError):
    """The key does not allow this."""

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.challenge = f'Bearer realm="DermQ", error="insufficient_scope", scope="{scope}"'


class OriginalGoneError(errors.ArchiveError):
    """An item's original bytes are asked for, and the archive of its job is gone."""

    def __init__(self, message: str) -> None:
        super().__init__(message, errors.JobErrorCode.ARCHIVE_GONE)


INVALID_PARAMETERS = Kind(422, "invalid_parameters", "Invalid parameters", "A parameter is missing, unknown or out of range.")
INTERNAL = Kind(500, "internal", "Internal error", "A fault of DermQ itself; its logs have the request id and the reason.")
# Refused by what stands in front of the routes.
UNKNOWN_HOST = Kind(421, "unknown_host", "Unknown host", "The server does not answer under the name in the Host header.")
CROSS_SITE = Kind(403, "cross_site", "Cross-site request", "A page of another site may not change anything here.")
UNSUPPORTED_ENCODING = Kind(
    415, "unsupported_encoding", "Unsupported content encoding", "The body must be sent as it is, without Content-Encoding."
)
_IN_FRONT = (UNKNOWN_HOST, CROSS_SITE, UNSUPPORTED_ENCODING)
# Answered by a route itself.
UNSUPPORTED_TYPE = Kind(
    415, "unsupported_type", "Unsupported content type", "A part of an upload must be application/offset+octet-stream."
)

KINDS: dict[type[Exception], Kind] = {
    UnauthenticatedError: Kind(401, "unauthenticated", "Key needed", "The request shows no API key that works."),
    MissingScopeError: Kind(403, "missing_scope", "Scope missing", "The API key does not have the scope that this needs."),
    UploadStalledError: Kind(408, "upload_stalled", "Upload stalled", "No byte of the body came for too long."),
    errors.QuotaExceededError: Kind(
        429, "quota_exceeded", "Quota exceeded", "The tenant has used up what it may use; `quota` says which limit."
    ),
    errors.InvalidRequestError: Kind(
        400, "invalid_request", "Invalid request", "The request cannot be understood as it stands."
    ),
    errors.NotFoundError: Kind(404, "not_found", "Not found", "No such job, item or model for this caller."),
    errors.ConflictError: Kind(409, "conflict", "Conflict", "The request contradicts the present state."),
    errors.TooLargeError: Kind(413, "too_large", "Too large", "The body is larger than the operator allows."),
    # 422 whoever is at fault: the same bytes would fail again, and after a 5xx a proxy may send them again.
    errors.ItemError: Kind(422, "item_error", "Image cannot be classified", "The image has no result; `code` says why."),
    OriginalGoneError: Kind(
        410,
        "original_gone",
        "Original gone",
        "The archive of the job is gone, and the original bytes with it; its rows are not.",
    ),
    errors.ConfigurationError: Kind(
        500, "misconfigured", "Misconfigured", "A setting names something that this server does not have or does not allow."
    ),
    errors.BrokerUnavailableError: Kind(503, "broker_unavailable", "Broker away", "Redis does not answer."),
    errors.DatabaseUnavailableError: Kind(503, "database_unavailable", "Database away", "The database does not answer."),
    errors.ServingUnavailableError: Kind(503, "serving_unavailable", "Serving away", "TensorFlow Serving does not answer."),
    DiskFullError: Kind(507, "disk_full", "Disk full", "The disk of the storage has too little room for it."),
    errors.StorageUnavailableError: Kind(503, "storage_unavailable", "Storage away", "The object storage does not answer."),
    errors.TransientError: Kind(503, "unavailable", "Temporarily unavailable", "Some part is away or overloaded."),
    errors.PermanentError: Kind(422, "refused", "Refused", "The same request will be refused again."),
    errors.DermqError: INTERNAL,
}


# Who can put a failed job right decides its status: 4xx tells the client to change its request, 5xx not to.
_STATUS = {
    errors.Fault.CALLER: 422,
    errors.Fault.ARCHIVE: 422,
    errors.Fault.MODEL: 502,
    errors.Fault.OPERATOR: 500,
    errors.Fault.SERVICE: 500,
}
_NARROWER = {
    errors.JobErrorCode.UNKNOWN_MODEL: 404,
    errors.JobErrorCode.FORBIDDEN_SOURCE: 403,
    errors.JobErrorCode.SERVING_ERROR: 502,  # not DermQ itself: the server behind it
}
JOB_KINDS = {
    code: Kind(_NARROWER.get(code, _STATUS[code.fault]), str(code), code.replace("_", " ").capitalize(), code.sentence)
    for code in errors.JobErrorCode
}


def list_kinds() -> list[Kind]:
    """Every kind of problem with a page of its own, one for each code."""
    kinds = (*KINDS.values(), INVALID_PARAMETERS, INTERNAL, *_IN_FRONT, UNSUPPORTED_TYPE, *JOB_KINDS.values())
    return list({kind.code: kind for kind in kinds}.values())


def problem_response(
    request: Request, kind: Kind, detail: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """A problem document. `more` are extension members, `code` among them where it says more than the kind's."""
    body = {
        "type": f"{SUBPATH.get()}{PROBLEM_PATH}/{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": request.url.path,
        "code": kind.code,
        "request_id": request.scope.get("state", {}).get("request_id"),
    }
    # ASCII only: whatever a message quotes, lone surrogates too, can be sent.
    content = json.dumps(body | more, default=str).encode()
    return Response(content, kind.status, headers, PROBLEM_TYPE)


def install_error_handlers(app: FastAPI) -> None:
    """Make the application answer with problems only. What is raised and not listed here ends in the middleware, as 500."""
    app.add_exception_handler(errors.DermqError, on_dermq_error)
    app.add_exception_handler(RequestValidationError, on_invalid_parameters)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


def kind_of(error: Exception) -> Kind:
    """The kind of its class; else of its code, if it is about a job; else of the nearest ancestor that has one."""
    if isinstance(error, errors.JobError) and type(error) not in KINDS:
        return JOB_KINDS[error.code]
    return next((KINDS[ancestor] for ancestor in type(error).__mro__ if ancestor in KINDS), INTERNAL)


async def on_dermq_error(request: Request, error: Exception) -> Response:
    """An error of the tree as a problem."""
    kind = kind_of(error)
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if kind.status in (429, 503, 507) else {}
    more: dict[str, Any] = {"code": str(error.code)} if isinstance(error, (errors.ItemError, errors.JobError)) else {}
    if isinstance(error, (UnauthenticatedError, MissingScopeError)):
        headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, errors.QuotaExceededError):
        headers["Retry-After"] = str(error.retry_after_s)
        more |= {"quota": error.quota, "limit": error.limit}
    detail = str(error)
    if isinstance(error, errors.TransientError):  # addresses and drivers' words are for the operator
        _log.warning("request failed", error=detail, kind=type(error).__name__)
        detail = f"{kind.meaning} Try again in {_RETRY_AFTER_S} seconds; the server's log has the reason, under the request id."
    return problem_response(request, kind, detail, headers=headers, **more)


async def on_invalid_parameters(request: Request, error: Exception) -> Response:
    """What FastAPI found wrong with the parameters, as a problem."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    # The offending value is not sent back: it may be anything.
    fields = [{"field": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in found]
    detail = "; ".join(f"{each['field']}: {each['message']}" for each in fields) or "invalid parameters"
    if found and all(each["loc"][:1] == ("path",) for each in found):  # the address itself names nothing
        return problem_response(request, KINDS[errors.NotFoundError], f"no such address: {detail}")
    return problem_response(request, INVALID_PARAMETERS, detail, errors=fields)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    details = {
        404: f"nothing is at {request.url.path}; /docs lists what there is",
        405: f"{request.method} is not possible at {request.url.path}; the Allow header says what is",
    }
    kind = Kind(status, status.phrase.lower().replace(" ", "_"), status.phrase, status.description)
    headers = dict(error.headers) if error.headers else None
    return problem_response(request, kind, details.get(status, str(error.detail)), headers=headers)


async def _on_disconnect(request: Request, _error: Exception) -> Response:
    _log.info("client left in mid-request", path=getattr(request.scope.get("route"), "path", "(none)"))
    return Response(status_code=_CLIENT_CLOSED)
