"""From a request to a caller: a bearer key (RFC 6750) or token, a page's session, or nobody where no key is asked for.

Stands in front of all routes, and of what is no route: without a key there is nothing to learn about what exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request, Response
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.oidc import Provider
from api.access.rates import RateLimiter
from api.access.sessions import COOKIE, IS_ADMIN, SIGNED_IN
from api.binding import keys_required
from api.errors import UnauthenticatedError, on_dermq_error
from api.resources import Resources, current_resources
from core.access.callers import Caller, local_caller
from core.access.scopes import Scope as KeyScope
from core.access.tokens import PREFIX
from core.db.access.keys import caller_of, find_key, is_use_to_note, note_use
from core.db.access.sessions import find_session_key
from core.db.access.tables import ApiKey
from core.db.engine import reading, transaction
from core.db.models import LOCAL_TENANT_ID, Tenant
from core.errors import DatabaseUnavailableError, DermqError
from core.settings import ApiSettings, OidcSettings
from core.telemetry.logs import get_logger

_OPEN = frozenset({"/healthz", "/readyz", "/sign-in", "/sign-out"})
_OPEN_FOLDER = "/static/"
_READING = frozenset({"GET", "HEAD"})
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a request shows: a bearer token, or a session's cookie."""

    token: str
    is_session: bool


class Authentication:
    """Puts `caller` into the request's state, or refuses."""

    def __init__(self, app: ASGIApp, settings: ApiSettings, oidc: OidcSettings) -> None:
        self._app = app
        self._required = keys_required(settings)
        self._provider = Provider(oidc)
        self._rates = RateLimiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            caller, in_session = await self._identify(request)
        except DermqError as error:
            await (await _refuse(request, error))(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        reset = SIGNED_IN.set(caller.actor if in_session else None)
        reset_admin = IS_ADMIN.set(caller.may(KeyScope.ADMIN))
        try:
            await self._app(scope, receive, send)
        finally:
            SIGNED_IN.reset(reset)
            IS_ADMIN.reset(reset_admin)

    async def _identify(self, request: Request) -> tuple[Caller, bool]:
        shown = _read(request)
        if not self._required and (shown is None or not shown.token.startswith(PREFIX)):
            # Behind a proxy that asks who is there, other tokens are the proxy's.
            return local_caller(LOCAL_TENANT_ID), False
        if shown is None:
            raise UnauthenticatedError("this address needs an API key, as `Authorization: Bearer dq_live_…`")
        _check_own_page(request, shown)
        if self._provider.is_on and not shown.is_session and not shown.token.startswith(PREFIX):
            return await self._by_token(request, shown.token), False
        key, limit = await run_in_threadpool(_find, current_resources(request), shown)
        if key is None:
            what = "the session is over: sign in again" if shown.is_session else "this API key is unknown, revoked or expired"
            raise UnauthenticatedError(what, shown=True)
        self._rates.take(key.tenant_id, limit)
        return caller_of(key), shown.is_session

    async def _by_token(self, request: Request, token: str) -> Caller:
        """Who acts by a provider's token."""
        caller, limit = await run_in_threadpool(_find_caller, current_resources(request), self._provider, token)
        self._rates.take(caller.tenant_id, limit)
        return caller


def is_open(path: str) -> bool:
    """Whether a path needs no key: the probes, the sign-in page and its files."""
    return path in _OPEN or (path.startswith(_OPEN_FOLDER) and "/" not in path.removeprefix(_OPEN_FOLDER))


def _read(request: Request) -> _Shown | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return _Shown(token.strip(), is_session=False)
    cookie = request.cookies.get(COOKIE)
    return _Shown(cookie, is_session=True) if cookie else None


def _check_own_page(request: Request, shown: _Shown) -> None:
    """A browser adds its cookie by itself: what it sends to change something must say that a page of this site asked for it.

    Whether that is true is asked in api.origins. Besides, the cookie is SameSite=Strict.
    """
    evidence = {"origin", "sec-fetch-site"} & set(request.headers)
    if shown.is_session and request.method not in _READING and not evidence:
        raise UnauthenticatedError("a session is for this server's pages: programs show a key", shown=True)


def _find(here: Resources, shown: _Shown) -> tuple[ApiKey | None, int | None]:
    """The key, and how many requests its tenant may send in a minute."""
    now = here.clock.now()
    with reading(here.engine) as session:
        key = find_session_key(session, shown.token, now) if shown.is_session else find_key(session, shown.token, now)
        limit = session.scalar(select(Tenant.max_requests).where(Tenant.id == key.tenant_id)) if key else None
    if key is not None and is_use_to_note(key, now):
        try:
            with transaction(here.engine) as session:
                note_use(session, key.id, now)
        except DatabaseUnavailableError:  # a busy database: the request itself only reads
            _log.info("last_use_not_noted", key_id=str(key.id))
    return key, limit


def _find_caller(here: Resources, provider: Provider, token: str) -> tuple[Caller, int | None]:
    claims = provider.verify(token)
    with reading(here.engine) as session:
        return provider.caller(session, claims)


async def _refuse(request: Request, error: DermqError) -> Response:
    """A problem; for a browser that asks for a page, the way to the sign-in page."""
    is_page = request.method in _READING and "text/html" in request.headers.get("accept", "")
    if isinstance(error, UnauthenticatedError) and is_page and not request.url.path.startswith("/v1/"):
        query = f"?{request.url.query}" if request.url.query else ""
        wanted = quote(request.url.path + query, safe="")
        return RedirectResponse(f"/sign-in?next={wanted}", 303, {"Cache-Control": "no-store"})
    return await on_dermq_error(request, error)
