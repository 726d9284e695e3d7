"""What the OpenAPI document says of resumable uploads: the headers of tus 1.0.0, which requests and answers have."""

from __future__ import annotations

from typing import Any

VERSION = "1.0.0"
EXTENSIONS = "creation,termination,expiration"
PART_TYPE = "application/offset+octet-stream"

_BYTES: dict[str, Any] = {"type": "integer", "minimum": 0}
_HEADERS: dict[str, dict[str, Any]] = {
    "Tus-Resumable": {"schema": {"type": "string", "const": VERSION}, "description": "The protocol's version."},
    "Tus-Version": {"schema": {"type": "string"}, "description": "The versions that the server speaks."},
    "Tus-Extension": {"schema": {"type": "string"}, "description": "What it speaks besides the core protocol."},
    "Tus-Max-Size": {"schema": _BYTES, "description": "Bytes that an upload may have."},
    "Location": {"schema": {"type": "string", "format": "uri"}, "description": "Where the parts go."},
    "Upload-Offset": {"schema": _BYTES, "description": "Bytes that have come."},
    "Upload-Length": {"schema": _BYTES, "description": "Bytes of the whole."},
    "Upload-Expires": {"schema": {"type": "string"}, "description": "When the upload is over, as HTTP writes dates."},
    "Accept-Patch": {"schema": {"type": "string"}, "description": "The content type that a part must have."},
}
PROGRESS = ("Upload-Offset", "Upload-Length", "Upload-Expires")
_VERSION_ASKED = {
    "name": "Tus-Resumable",
    "in": "header",
    "schema": {"type": "string", "const": VERSION},
    "description": "Another version is answered with 412; none counts as this one.",
}


def answer(description: str, *headers: str) -> dict[str, Any]:
    """An answer without a body, with `Tus-Resumable` and these headers."""
    return {
        "description": description,
        "headers": {name: _HEADERS[name] | {"required": True} for name in ("Tus-Resumable", *headers)},
    }


OTHER_VERSION: dict[int | str, dict[str, Any]] = {412: answer("Another version of the protocol was asked for.", "Tus-Version")}


def asks(*parameters: dict[str, Any], part: bool = False) -> dict[str, Any]:
    """`openapi_extra` of a request with these headers, and with the bytes of a part as its body."""
    described: dict[str, Any] = {"parameters": [_VERSION_ASKED, *parameters]}
    if part:
        body = {PART_TYPE: {"schema": {"type": "string", "format": "binary"}}}
        described["requestBody"] = {"required": True, "content": body}
    return described


LENGTH = {
    "name": "Upload-Length",
    "in": "header",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
    "description": "Bytes of the whole.",
}
METADATA = {
    "name": "Upload-Metadata",
    "in": "header",
    "schema": {"type": "string"},
    "description": "`filename BASE64`, the name in UTF-8. Other keys are passed over.",
    "example": "filename bGVzaW9ucy56aXA=",
}
OFFSET = {
    "name": "Upload-Offset",
    "in": "header",
    "required": True,
    "schema": _BYTES,
    "description": "Where the part begins: what has come so far, else 409.",
}
DIGEST = {
    "name": "Content-Digest",
    "in": "header",
    "schema": {"type": "string"},
    "description": "`sha-256=:BASE64:` (RFC 9530): the part counts as a whole or not at all.",
}
