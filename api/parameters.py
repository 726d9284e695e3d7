"""Query parameters that a route does not know are refused: a misspelt filter must not silently be none."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel


async def refuse_unknown(request: Request) -> None:
    """A dependency of every route.

    Raises:
        RequestValidationError: the query has a parameter that the route does not declare.
    """
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    known = sorted(known_parameters(route))
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        raise RequestValidationError([_fault(name, known) for name in unknown])


def known_parameters(route: APIRoute) -> frozenset[str]:
    """Names of the query parameters that a route or one of its dependencies declares."""
    return frozenset(_declared(route.dependant))


def unknown_value(name: str, value: str, known: Sequence[str]) -> RequestValidationError:
    """The error for a parameter whose value is none of those that there are."""
    return refused_value(name, f"expected one of {', '.join(known)}{_nearest(value, known)}")


def refused_value(name: str, message: str) -> RequestValidationError:
    """The error for a parameter whose value does not fit."""
    return RequestValidationError([{"loc": ("query", name), "msg": message, "type": "value_error"}])


def _declared(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):  # all parameters of a route in one model
            yield from (each.alias or name for name, each in kind.model_fields.items())
        else:
            yield field.alias
    for each in dependant.dependencies:
        yield from _declared(each)


def _fault(name: str, known: Sequence[str]) -> dict[str, object]:
    takes = f"this address takes {', '.join(known)}" if known else "this address takes none"
    return {"loc": ("query", name), "msg": f"unknown parameter: {takes}{_nearest(name, known)}", "type": "extra_forbidden"}


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word[:100].lower(), known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
