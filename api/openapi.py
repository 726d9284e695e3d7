"""What FastAPI cannot see by itself: bodies that are read as streams, and the problems that any route may answer with."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from api.access.policy import PUBLIC, needed_scope
from api.schemas import JobParameters, Problem, SourceRequest

TAGS = [
    {"name": "jobs", "description": "Submit an archive, follow it, stop it, run failed items again."},
    {"name": "results", "description": "Rows of a job: pages, files, failures, pictures. Also while it runs."},
    {"name": "uploads", "description": "A file in parts (tus 1.0.0): what has come is the source `upload:ID` of a job."},
    {"name": "classify", "description": "One image, answered when done."},
    {"name": "models", "description": "What is served: versions, labels, classes."},
    {"name": "webhooks", "description": "Messages to addresses of yours: when jobs end, on their way, and when models move."},
    {"name": "admin", "description": "Tenants, keys and the audit; for keys with the scope `admin`."},
    {"name": "operations", "description": "For probes and dashboards."},
]

_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key: `Authorization: Bearer dq_live_...`. A server that listens on loopback only asks for none.",
}
# What every answer has, and what answers of a status have besides. `readyz` answers 503 without saying when to come again.
_REQUEST_ID = {"X-Request-ID": {"schema": {"type": "string"}, "required": True, "description": "As in the server's log."}}
_SECONDS = {"schema": {"type": "integer", "minimum": 0}, "description": "Seconds."}
_HEADERS: dict[str, dict[str, Any]] = {
    "401": {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True, "description": "RFC 6750."}},
    "403": {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750: the scope that is missing."}},
    "429": {"Retry-After": _SECONDS | {"required": True}},
    "503": {"Retry-After": _SECONDS},
    "507": {"Retry-After": _SECONDS},
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers for `responses=`."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "Problem (RFC 9457).", "content": content} for status in statuses}


def job_body() -> dict[str, Any]:
    """`openapi_extra` of a submission."""
    content = {
        "application/octet-stream": _BINARY,
        "application/zip": _BINARY,
        "multipart/form-data": {"schema": _form("archive")},
        "application/json": {
            "schema": inlined(SourceRequest),
            "examples": {"s3": {"value": {"source": "s3://clinic/2026-11/", "model": "starter", "label": "stable"}}},
        },
    }
    return {"requestBody": {"required": True, "content": content}}


def image_body() -> dict[str, Any]:
    """`openapi_extra` of one image."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "image/*": _BINARY,
                "application/octet-stream": _BINARY,
                "multipart/form-data": {"schema": _form("image")},
            },
        }
    }


def describe_api(app: FastAPI, subpath: str = "") -> dict[str, Any]:
    """The OpenAPI 3.1 document; `subpath` is where the API lies on its host, if not at the root."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        if subpath:
            document["servers"] = [{"url": subpath}]
        document["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        document["components"]["securitySchemes"] = {"key": _KEY}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _add_security(operation, method.upper(), path)
                if "{" in path:  # what the address names may not be there, or be none
                    operation["responses"].setdefault("404", problems(404)[404])
                _add_headers(operation)
                stream = operation["responses"].get("200", {}).get("content", {}).get("text/event-stream")
                if stream is not None:  # FastAPI describes events with a word of OpenAPI 3.2, which 3.1 forbids
                    stream["schema"] = stream.pop("itemSchema")
        app.openapi_schema = document
    return app.openapi_schema


def _add_security(operation: dict[str, Any], method: str, path: str) -> None:
    """Say which scope an operation needs, and what it answers without."""
    if path in PUBLIC:
        return
    scope = needed_scope(method, path)
    operation["security"] = [{"key": []}]
    about = operation.get("description", "")
    operation["description"] = f"{about}\n\nScope: `{scope}`.".strip()
    operation["responses"] |= {str(status): each for status, each in problems(401, 403).items()}


def _add_headers(operation: dict[str, Any]) -> None:
    """Say which headers an answer has, besides those that its route declares."""
    for status, answer in operation["responses"].items():
        answer["headers"] = _REQUEST_ID | _HEADERS.get(str(status), {}) | answer.get("headers", {})


def _form(file_field: str) -> dict[str, Any]:
    schema = inlined(JobParameters)
    schema["properties"] = {file_field: {"type": "string", "format": "binary"}} | schema["properties"]
    schema["required"] = [file_field]
    return schema


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema without references: `$defs` cannot be reached from inside an OpenAPI document."""
    schema = model.model_json_schema()
    whole: dict[str, Any] = _resolved(schema, schema.pop("$defs", {}))
    return whole


def _resolved(part: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_resolved(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        part = {**definitions[part["$ref"].rpartition("/")[2]], **{key: each for key, each in part.items() if key != "$ref"}}
    return {key: _resolved(each, definitions) for key, each in part.items()}
