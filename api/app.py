"""The application, built by one factory. Nothing happens at import."""

from __future__ import annotations

import ipaddress

from fastapi import FastAPI

from api.errors import install_error_handlers
from api.lifespan import make_lifespan
from api.middleware import Envelope
from api.openapi import TAGS, describe_api
from api.routes import classify, events, health, items, jobs, models, results
from api.schemas import DISCLAIMER
from core.settings import ApiSettings, Settings

_DESCRIPTION = f"""Screens archives of skin images: class probabilities and a risk score for every image, or a reason why not.

Submit an archive, poll or follow the job, fetch results as pages, CSV, JSON lines or Parquet. Errors are RFC 9457 problems.

**{DISCLAIMER}**"""


class UnsafeBindingError(ValueError):
    """The server would be reachable from other machines, and nobody would have to say who they are."""


def create_app(settings: Settings) -> FastAPI:
    """Build the application for these settings.

    Raises:
        UnsafeBindingError: it is to listen beyond loopback while no keys exist.
    """
    check_binding(settings.api)
    app = FastAPI(
        title="DermQ",
        version="1",
        description=_DESCRIPTION,
        lifespan=make_lifespan(settings),
        openapi_tags=TAGS,
        redirect_slashes=False,
        redoc_url=None,
    )
    for room in (jobs, results, events, items, classify, models, health):
        app.include_router(room.router)
    install_error_handlers(app)
    app.add_middleware(Envelope)
    app.openapi = lambda: describe_api(app)  # type: ignore[method-assign]
    return app


def check_binding(settings: ApiSettings) -> None:
    """Refuse to listen beyond loopback as long as there are no keys.

    Raises:
        UnsafeBindingError: the host is no loopback address, and the operator has not said that this is meant.
    """
    if is_loopback(settings.host) or settings.allow_unauthenticated:
        return
    raise UnsafeBindingError(
        f"DERMQ_API_HOST is {settings.host!r}: expected a loopback address (127.0.0.1, ::1, localhost): there are no keys "
        "yet and everybody who reaches the server could read and delete all jobs. In a container on a private network set "
        "DERMQ_API_ALLOW_UNAUTHENTICATED=true"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on that host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
