"""The HTTP server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from core.plainlists import check_bucket_prefix, check_host, read_switch
from core.secretfiles import Concern
from core.settings.reading import Paths, Words, variables_of


class ApiSettings(Concern):
    """DERMQ_API_*: the HTTP server."""

    model_config = variables_of("DERMQ_API_")

    host: str = Field(
        default="127.0.0.1",
        description="Address that the server listens on. Beyond loopback it asks for keys, and starts only if there is one.",
    )
    port: int = Field(default=8080, ge=1, le=65535, description="Port that the server listens on.")
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of a second page of metrics, on DERMQ_METRICS_HOST. It asks for no key: for a private network that "
        "only Prometheus reaches. 0: none. /metrics on the API's own port is there in any case, for a key of scope `admin`.",
    )
    max_upload_bytes: int = Field(default=100 * 1024**3, description="Largest upload that is taken, in bytes.")
    source_roots: Paths = Field(
        default=(),
        description="Folders of the server that a job may name as its source (/data,/mnt/scans). The workers check it again: "
        "they need the same list. Empty: none.",
    )
    allow_s3_sources: Words = Field(
        default=(),
        description="Addresses in buckets that a job may name as its source, with all below them "
        "(s3://clinic/2026,gs://other,az://scans). DermQ reads them with its own credentials. `true` or s3:// is all of S3 "
        "that these reach. The workers check it again: they need the same list. Empty: none.",
    )
    allowed_hosts: Words = Field(
        default=(),
        description="Names in the Host header under which the API answers (dermq.example,*.dermq.svc), besides loopback names, "
        "IP addresses and the name in DERMQ_API_PUBLIC_URL. /healthz and /readyz answer under every name.",
    )
    watch_interval_s: float = Field(default=1.0, ge=0, description="Time between two looks at what jobs may wait for. 0: none.")
    classify_wait_s: float = Field(default=30.0, description="How long POST /v1/classify waits before it answers with 202.")
    public_url: str = Field(
        default="",
        description="Address of the API as clients see it, where a proxy stands in front; it may have a path "
        "(https://clinic.example/dermq). Links are made from it.",
    )
    models: Words = Field(default=(), description="Models that GET /v1/models lists besides the default one (first,second).")
    canary_percent: float = Field(
        default=0.0, ge=0, le=100, description="Share of new jobs that name no version: they go to the label `canary`."
    )
    require_keys: bool | None = Field(
        default=None,
        description="Whether requests must show an API key. Empty: where others can reach the server, which is beyond "
        "loopback, or with a DERMQ_API_PUBLIC_URL or DERMQ_API_ALLOWED_HOSTS. `false` is taken on loopback only: for a "
        "proxy on this machine that asks by itself who is there.",
    )

    @field_validator("source_roots", mode="after")
    @classmethod
    def _resolved(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.resolve() for path in value)

    @field_validator("allow_s3_sources", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        return read_switch(value, on="s3://")

    @field_validator("allow_s3_sources", mode="after")
    @classmethod
    def _prefixes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_bucket_prefix, value))

    @field_validator("allowed_hosts", mode="after")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_host, value))
