"""Tokens of an OpenID Connect provider."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from core.hosts import is_loopback
from core.secretfiles import Concern
from core.settings.reading import variables_of


def is_safe_address(address: str) -> bool:
    """Whether keys may be asked for there: https://, or this machine itself. Whoever changes keys on their way makes tokens."""
    parts = urlsplit(address)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")))


class OidcSettings(Concern):
    """DERMQ_OIDC_*: access tokens of an OpenID Connect provider in the place of API keys. Without an issuer: none."""

    model_config = variables_of("DERMQ_OIDC_")

    issuer: str = Field(
        default="",
        description="Address of the provider, as its tokens name it: https://login.example/realms/clinic. Its keys are found "
        "by /.well-known/openid-configuration below it.",
    )
    audience: str = Field(default="", description="What the tokens' `aud` must hold. Needed with an issuer.")
    tenant_claim: str = Field(default="dermq_tenant", description="The claim that names the tenant.")
    scope_claim: str = Field(default="scope", description="The claim with the scopes: words between blanks, or a list.")
    scope_prefix: str = Field(
        default="dermq:", description="Before each scope in the claim: dermq:read, dermq:admin. Other words are passed over."
    )

    @field_validator("issuer")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if value and not is_safe_address(value):
            raise ValueError(f"expected https://host/path, got {value!r}: whoever changes the keys on their way makes tokens")
        return value

    @property
    def is_on(self) -> bool:
        """Whether tokens are taken."""
        return bool(self.issuer)
