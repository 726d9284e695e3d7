"""The dependency of every route: the caller has the scope that the route needs."""

from __future__ import annotations

from fastapi import Request

from api.access.policy import PUBLIC, needed_scope
from api.errors import MissingScopeError, UnauthenticatedError
from core.access.callers import Caller


async def authorize(request: Request) -> None:  # not sync: FastAPI would hand it to a thread and back
    """Refuse what the caller's key does not allow.

    Raises:
        UnauthenticatedError: nobody has found out who calls.
        MissingScopeError: the key has not the scope; the message names it.
    """
    path = request.scope["route"].path
    if path in PUBLIC:
        return
    caller = current_caller(request)
    scope = needed_scope(request.method, path)
    if not caller.may(scope):
        has = ", ".join(sorted(caller.scopes)) or "none"
        raise MissingScopeError(f"this needs a key with the scope {scope}; the key {caller.actor!r} has {has}", scope)


def current_caller(request: Request) -> Caller:
    """Who calls, as api.access.authentication has found out.

    Raises:
        UnauthenticatedError: it has not: the request did not pass there.
    """
    caller: Caller | None = request.scope.get("state", {}).get("caller")
    if caller is None:
        raise UnauthenticatedError("this address needs an API key")
    return caller
