"""/docs: the OpenAPI document to read and try out."""

from __future__ import annotations

import inspect
from urllib.parse import urlsplit

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

router = APIRouter()


@router.get("/docs", include_in_schema=False)
def read_docs() -> HTMLResponse:
    """Swagger UI. Its scripts come from where FastAPI points to, the one page that needs more than this server."""
    page = get_swagger_ui_html(openapi_url="/openapi.json", title="DermQ: HTTP API", swagger_favicon_url="data:,")
    script = inspect.signature(get_swagger_ui_html).parameters["swagger_js_url"].default
    host = f"https://{urlsplit(script).netloc}"
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'unsafe-inline' {host}; style-src 'unsafe-inline' {host}; img-src data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return page
