"""Where DermQ sends requests that somebody else has named."""

from __future__ import annotations

import ipaddress
from typing import Any

from pydantic import Field, field_validator

from core.plainlists import check_https_prefix
from core.secretfiles import Concern
from core.settings.reading import Words, variables_of


class EgressSettings(Concern):
    """DERMQ_EGRESS_*: addresses that others name, of webhooks and sources. The public internet by https:// only, by default."""

    model_config = variables_of("DERMQ_EGRESS_")

    networks: Words = Field(
        default=(),
        description="Networks of one's own that webhooks and https:// sources may reach (10.20.0.0/16,fd12::/48), by http:// "
        "too. API and workers need the same list. Empty: none.",
    )
    https_sources: Words = Field(
        default=(),
        description="https:// addresses that a job may name as its source, with all below them, each for one tenant: "
        "north=https://archive.example/north/,*=https://open.example/. `*` is every tenant. The workers check it again: they "
        "need the same list. Empty: none.",
    )

    @field_validator("networks", mode="after")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(each)) for each in value)

    @field_validator("https_sources", mode="after")
    @classmethod
    def _prefixes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_https_prefix, value))

    @property
    def allowed_networks(self) -> list[Any]:
        """The networks as the standard library has them."""
        return [ipaddress.ip_network(each) for each in self.networks]
