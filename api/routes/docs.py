"""/docs: the OpenAPI document to read and try out, without any other host."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.pages.rendering import render

router = APIRouter()

# Swagger UI draws its arrows from data: addresses.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


@router.get("/docs", include_in_schema=False)
def read_docs() -> HTMLResponse:
    """Swagger UI, out of the package that ships its files."""
    page = render("docs.html")
    page.headers["Content-Security-Policy"] = _POLICY
    return page
