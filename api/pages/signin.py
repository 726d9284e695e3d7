"""Sign-in: takes a key once, and gives the browser a session in its place."""

from __future__ import annotations

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from api.access.sessions import COOKIE, LIFETIME, clear_cookie, set_cookie
from api.binding import keys_required
from api.pages.forms import read_form
from api.pages.rendering import render
from api.pages.routing import PageRoute
from api.resources import Here, Resources
from core.db.access.keys import find_key
from core.db.access.sessions import end_session, open_session
from core.db.engine import transaction

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/sign-in", response_model=None)
def show_sign_in(here: Here, target: str = Query("/", alias="next", max_length=2000)) -> Response:
    """The form; where no key is asked for, the first page."""
    if not keys_required(here.settings.api):
        return RedirectResponse("/", 303)
    return _form(target)


@router.post("/sign-in", response_model=None)
async def sign_in(request: Request, here: Here) -> Response:
    """Open a session for the key in the form. The key itself goes into no cookie, page or log."""
    form = await read_form(request)
    token, target = form.get("key", ""), form.get("next", "")
    value = await run_in_threadpool(_open, here, token)
    if value is None:
        return _form(target, refused=True)
    response = RedirectResponse(own_path(target), 303, {"Cache-Control": "no-store"})
    set_cookie(response, value)
    return response


@router.post("/sign-out", response_model=None)
async def sign_out(request: Request, here: Here) -> Response:
    """End the session, here and in the ledger."""
    await run_in_threadpool(_end, here, request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/sign-in", 303, {"Cache-Control": "no-store"})
    clear_cookie(response)
    return response


def own_path(target: str) -> str:
    """Where to go after sign-in: an address of this server, whatever the form says."""
    is_own = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if is_own else "/"


def _form(target: str, *, refused: bool = False) -> HTMLResponse:
    return render("signin.html", 401 if refused else 200, page="", target=own_path(target), refused=refused)


def _open(here: Resources, token: str) -> str | None:
    now = here.clock.now()
    with transaction(here.engine) as session:
        key = find_key(session, token, now)
        return None if key is None else open_session(session, key, now, LIFETIME)


def _end(here: Resources, value: str) -> None:
    with transaction(here.engine) as session:
        end_session(session, value, here.clock.now())
