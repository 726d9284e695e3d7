"""The application, built by one factory. Nothing happens at import."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from api.access.authentication import Authentication
from api.access.authorization import authorize
from api.binding import check_binding
from api.encodings import IdentityOnly
from api.errors import install_error_handlers
from api.headrequests import HeadAsGet
from api.lifespan import make_lifespan
from api.middleware import Envelope
from api.openapi import TAGS, describe_api
from api.origins import OwnSiteOnly
from api.pages import admin as admin_pages
from api.pages import assets
from api.pages import comparison as comparison_pages
from api.pages import jobs as job_pages
from api.pages import models as model_pages
from api.pages import reports as report_pages
from api.pages import review as review_pages
from api.pages import signin as signin_pages
from api.pages import submit as submit_pages
from api.parameters import refuse_unknown
from api.routes import (
    admin,
    classify,
    decisions,
    docs,
    events,
    groups,
    health,
    items,
    jobs,
    models,
    pictures,
    results,
    reviewing,
    truth,
    uploads,
    webhooks,
)
from api.schemas import DISCLAIMER
from api.subpath import BelowPath, subpath_of
from core.settings import Settings

_API = (jobs, results, events, items, pictures, decisions, reviewing, truth, groups, classify, uploads, models, webhooks, admin)
_PAGES = (
    docs,
    assets,
    signin_pages,
    submit_pages,
    job_pages,
    review_pages,
    report_pages,
    comparison_pages,
    model_pages,
    admin_pages,
)
ROUTERS = tuple(module.router for module in (*_API, *_PAGES, health))
_DESCRIPTION = f"""Screens archives of skin images: class probabilities and a risk score for every image, or a reason why not.

Submit an archive, poll or follow the job, fetch results as pages, CSV, JSON lines or Parquet. Errors are RFC 9457 problems.

**{DISCLAIMER}**"""


def create_app(settings: Settings) -> FastAPI:
    """Build the application for these settings.

    Raises:
        UnsafeBindingError: it is to listen beyond loopback without asking for keys.
    """
    check_binding(settings.api)
    app = FastAPI(
        title="DermQ",
        version="1",
        description=_DESCRIPTION,
        lifespan=make_lifespan(settings),
        openapi_tags=TAGS,
        redirect_slashes=False,
        docs_url=None,  # api.routes.docs, with the headers it needs
        redoc_url=None,
    )
    for router in ROUTERS:
        # Probes and scrapers may add a parameter of their own, against caches.
        more = [] if router is health.router else [Depends(refuse_unknown)]
        app.include_router(router, dependencies=[Depends(authorize), *more])
    install_error_handlers(app)
    app.add_middleware(HeadAsGet)
    app.add_middleware(IdentityOnly)
    app.add_middleware(Authentication, settings=settings.api, oidc=settings.oidc)
    app.add_middleware(OwnSiteOnly, settings=settings.api)
    app.add_middleware(Envelope)
    subpath = subpath_of(settings.api.public_url)
    if subpath:
        app.add_middleware(BelowPath, subpath=subpath)  # the outermost: all others see DermQ's own paths
    app.openapi = lambda: describe_api(app, subpath)  # type: ignore[method-assign]
    return app
