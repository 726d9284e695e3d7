"""Style sheet, modules and icon, and Swagger UI's files out of their package: read once, sent with an ETag, and compressed
where the browser takes that.

Only files that were there when the process started are sent, by their exact name: no path of a request reaches the file system.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response

from core.errors import NotFoundError

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parent / "static"
SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
# Named without a weight of zero (RFC 9110, 12.5.3). These files are no secret: compression tells nobody anything of them.
_GZIP = re.compile(r"(?i)(?:^|,)\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content: bytes
    media_type: str
    etag: str
    encoding: str | None = None


@router.get("/static/{name}")
def get_asset(
    name: str, if_none_match: Annotated[str | None, Header()] = None, accept_encoding: Annotated[str | None, Header()] = None
) -> Response:
    """A file; 304 where the browser has it already."""
    if name not in _assets():
        raise NotFoundError(f"no static file {name!r}")
    asset = _packed(name) if _GZIP.search(accept_encoding or "") else _assets()[name]
    # kept, and asked for: a new release is seen at once
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if if_none_match is not None and asset.etag in if_none_match:
        return Response(status_code=304, headers=headers)
    if asset.encoding:
        headers["Content-Encoding"] = asset.encoding
    return Response(asset.content, headers=headers, media_type=asset.media_type)


@lru_cache
def _assets() -> dict[str, Asset]:
    files = [path for path in STATIC.iterdir() if path.suffix in _TYPES]
    files += [_swagger_folder() / name for name in SWAGGER]
    return {path.name: _load(path) for path in files}


@lru_cache
def _packed(name: str) -> Asset:
    """The same, compressed; another ETag, as it is another representation (RFC 9110, 8.8.3)."""
    asset = _assets()[name]
    return Asset(gzip.compress(asset.content, mtime=0), asset.media_type, f'{asset.etag[:-1]}-gz"', "gzip")


def _load(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content, _TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:20]}"')


def _swagger_folder() -> Path:
    """Where the package has its files. It is not imported: it would bring a FastAPI application of its own."""
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package fastapi-offline is not installed: expected the packages of requirements/api.lock")
    return Path(spec.origin).parent / "static"
