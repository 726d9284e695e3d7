"""Where the server may listen, and where it asks for keys: wherever others than this machine's users reach it."""

from __future__ import annotations

from urllib.parse import urlsplit

from sqlalchemy import inspect

from core.clock import SystemClock
from core.db.access.keys import has_usable_key
from core.db.engine import open_engine, reading
from core.errors import DatabaseUnavailableError
from core.hosts import is_loopback
from core.settings import ApiSettings, Settings
from core.telemetry.logs import get_logger


class UnsafeBindingError(ValueError):
    """The server would be reachable from other machines, and nobody would have to say who they are, or nobody could."""


def keys_required(settings: ApiSettings) -> bool:
    """Whether requests must show a key: as the operator says, else where others can reach the server."""
    if settings.require_keys is not None:
        return settings.require_keys
    public = urlsplit(settings.public_url).hostname
    return not is_loopback(settings.host) or bool(settings.allowed_hosts) or not (public is None or is_loopback(public))


def check_binding(settings: ApiSettings) -> None:
    """Refuse to listen beyond loopback without asking for keys.

    Raises:
        UnsafeBindingError: the operator has said that no key is asked for, and the host is no loopback address.
    """
    if is_loopback(settings.host) or keys_required(settings):
        return
    raise UnsafeBindingError(
        f"DERMQ_API_HOST is {settings.host!r} and DERMQ_API_REQUIRE_KEYS is false: expected a loopback address (127.0.0.1, "
        "::1, localhost), as everybody who reaches the server could read and delete all jobs. Leave "
        "DERMQ_API_REQUIRE_KEYS empty"
    )


def check_keys(settings: Settings) -> None:
    """Refuse to start where keys are asked for and none works. A ledger that is away is no reason: requests will be refused.

    Raises:
        UnsafeBindingError: there is no key; the message says how to make one.
    """
    if not keys_required(settings.api) or settings.oidc.is_on:
        return
    engine = open_engine(settings.database_url, settings.database)
    try:
        with reading(engine) as session:
            is_made = inspect(session.connection()).has_table("api_keys")
            found = is_made and has_usable_key(session, SystemClock().now())
    except DatabaseUnavailableError as error:
        get_logger(__name__).warning("keys_not_checked", error=str(error), consequence="no request is answered without a key")
        return
    finally:
        engine.dispose()
    if not found:
        raise UnsafeBindingError(
            "this server asks for API keys (DERMQ_API_REQUIRE_KEYS, or others can reach it), and no key works yet: expected at "
            "least one. Make it with `dermq keys create first --scope admin`, on the ledger that DERMQ_DATABASE_URL names"
        )
