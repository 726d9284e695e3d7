"""Access tokens of an OpenID Connect provider (RFC 9068, RFC 7519): verified by the provider's own keys, which are kept.

The provider is asked for its keys when a token names one that is not known, at most every REFRESH_S; while it is away, the keys
that are known hold for KEPT_S.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import jwt
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.errors import UnauthenticatedError
from core.access.callers import Caller
from core.access.scopes import Scope
from core.db.models import Tenant
from core.errors import TransientError
from core.settings import OidcSettings
from core.settings.oidc import is_safe_address
from core.telemetry.logs import get_logger

# Signatures with the provider's private key alone: never `none`, never a shared secret (RFC 8725, 3.1).
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
REFRESH_S = 30.0
KEPT_S = 86_400.0
_FRESH_S = 600.0
_LEEWAY_S = 30
_FAR = 100_000_000_000  # seconds since 1970, the year 5138: datetime ends at 9999
_TIMEOUT_S = 5.0
_LARGEST = 1_000_000
_log = get_logger(__name__)


class ProviderAwayError(TransientError):
    """The provider does not say which keys it has."""


class Provider:
    """One issuer and its keys. Its methods block: call them in a thread."""

    def __init__(self, settings: OidcSettings, monotonic: Callable[[], float] = time.monotonic) -> None:
        if settings.is_on and not settings.audience:
            raise ValueError("DERMQ_OIDC_ISSUER is set: expected DERMQ_OIDC_AUDIENCE, too, or tokens for others would be taken")
        self._settings = settings
        self._monotonic = monotonic
        self._lock = threading.Lock()  # of what is known
        self._asking = threading.Lock()  # one asks at a time
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether there is one."""
        return self._settings.is_on

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token.

        Raises:
            UnauthenticatedError: it is none of this issuer for this audience, or its time is over.
            ProviderAwayError: its key is unknown, and the provider cannot be asked.
        """
        try:
            head = jwt.get_unverified_header(token)
            key = self._find(str(head.get("kid", "")))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[each for each in ALGORITHMS if each == head.get("alg")],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"], "strict_aud": False},
            )
        except jwt.PyJWTError as error:
            raise UnauthenticatedError(f"this token is not accepted: {type(error).__name__}", shown=True) from error
        return claims

    def caller(self, session: Session, claims: dict[str, Any]) -> tuple[Caller, int | None]:
        """On whose behalf a token acts, and how many requests its tenant may send in a minute.

        Raises:
            UnauthenticatedError: it names no tenant that there is, or one that is suspended.
        """
        named = claims.get(self._settings.tenant_claim)
        tenant = session.scalar(select(Tenant).where(Tenant.name == named)) if isinstance(named, str) else None
        if tenant is None or tenant.suspended_at is not None:
            what = f"this token's claim {self._settings.tenant_claim!r} names no tenant that is active here"
            raise UnauthenticatedError(what, shown=True)
        until = datetime.fromtimestamp(min(int(claims["exp"]), _FAR) + _LEEWAY_S, UTC)
        caller = Caller(tenant.id, self._scopes(claims), f"oidc:{claims['sub']}"[:100], expires_at=until)
        return caller, tenant.max_requests

    def _scopes(self, claims: dict[str, Any]) -> frozenset[Scope]:
        given = claims.get(self._settings.scope_claim, "")
        words = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
        prefix = self._settings.scope_prefix
        known = {str(scope): scope for scope in Scope}
        named = [str(word).removeprefix(prefix) for word in words if str(word).startswith(prefix)]
        return frozenset(known[name] for name in named if name in known)

    def _find(self, kid: str) -> jwt.PyJWK:
        """The key of that name. Whose key is known does not wait while somebody else asks the provider."""
        key, age = self._known(kid)
        if (key is None or age > _FRESH_S) and self._asking.acquire(timeout=_TIMEOUT_S if key is None else 0):
            try:
                self._ask(kid)
            finally:
                self._asking.release()
            key, age = self._known(kid)
        if age > KEPT_S:
            raise ProviderAwayError("the provider of tokens does not say which keys it has")
        if key is None:
            raise jwt.InvalidKeyError("unknown key")
        return key

    def _known(self, kid: str) -> tuple[jwt.PyJWK | None, float]:
        """A key of the last answer, and the answer's age in seconds."""
        with self._lock:
            age = math.inf if self._read_at is None else self._monotonic() - self._read_at
            return self._keys.get(kid), age

    def _ask(self, kid: str) -> None:
        """Ask the provider, unless another thread has meanwhile, or it was asked a moment ago."""
        key, age = self._known(kid)
        now = self._monotonic()
        if (key is None or age > _FRESH_S) and self._may_ask(now):
            self._read(now)

    def _may_ask(self, now: float) -> bool:
        return self._tried_at is None or now - self._tried_at >= REFRESH_S

    def _read(self, now: float) -> None:
        """Ask for the keys. Without an answer, those that are known stay."""
        self._tried_at = now
        issuer = self._settings.issuer
        try:
            with httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=False) as client:
                keys = jwt.PyJWKSet.from_dict(_json(client, _keys_of(client, issuer)))
        except (httpx2.HTTPError, jwt.PyJWTError, ValueError, KeyError) as error:
            _log.warning("oidc_keys_not_read", error=str(error)[:300], consequence="those that are known hold for a day")
            return
        with self._lock:
            self._keys = {each.key_id: each for each in keys.keys if each.key_id and each.public_key_use in (None, "sig")}
            self._read_at = now


def _keys_of(client: httpx2.Client, issuer: str) -> str:
    """The address of an issuer's keys (OpenID Connect Discovery 1.0, 4)."""
    found = _json(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if found.get("issuer") != issuer:
        raise ValueError("its configuration names another issuer")
    address = str(found["jwks_uri"])
    if not is_safe_address(address):
        raise ValueError(f"expected https:// as jwks_uri, got {address[:200]!r}")
    return address


def _json(client: httpx2.Client, url: str) -> dict[str, Any]:
    body, until = bytearray(), time.monotonic() + _TIMEOUT_S
    with client.stream("GET", url) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > _LARGEST:
                raise ValueError(f"the answer of {url} is too large")
            if time.monotonic() > until:
                raise ValueError(f"the answer of {url} takes longer than {_TIMEOUT_S:g} s")
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError(f"the answer of {url} is no JSON object")  # noqa: TRY004 - about what came, not about a type here
    return value
