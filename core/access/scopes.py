"""Scopes: what a key is for."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from core.errors import InvalidRequestError


class Scope(StrEnum):
    """What a key allows. Each stands alone, but `admin` includes the others."""

    SUBMIT = "submit"  # hand in archives and images; cancel, retry and delete jobs
    READ = "read"  # look at jobs, results, pictures, models
    REVIEW = "review"  # decide about items, say what is true of them
    ADMIN = "admin"  # tenants, keys, audit and metrics of the whole installation


ALL_SCOPES = frozenset(Scope)


def read_scopes(words: Iterable[str]) -> frozenset[Scope]:
    """Scopes from their names.

    Raises:
        InvalidRequestError: a name is unknown, or there is none.
    """
    given = frozenset(words)
    unknown = sorted(given - set(Scope))
    if unknown or not given:
        came = ", ".join(map(repr, unknown)) or "none"
        raise InvalidRequestError(f"expected scopes out of {', '.join(Scope)}, got {came}")
    return frozenset(map(Scope, given))
