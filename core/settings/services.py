"""What DermQ keeps its state in: the ledger, the broker, the object storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, field_validator

from core.hosts import is_loopback
from core.plainlists import check_file_url, check_start
from core.secretfiles import Concern, with_password
from core.settings.reading import variables_of
from core.settings.sentinels import Sentinels, read_sentinels


class DatabaseSettings(Concern):
    """DERMQ_DATABASE_*: the ledger. An empty url means SQLite in the data folder."""

    model_config = variables_of("DERMQ_DATABASE_")

    url: str = Field(
        default="",
        description="URL of the ledger: postgresql://user@host/name (postgres:// too, as hosting providers write it) or "
        "sqlite:///path. Empty: SQLite in the data folder.",
    )
    password: SecretStr = Field(default=SecretStr(""), description="Put into the URL, which then must hold none.")
    pool_size: int = Field(
        default=5, description="Connections that a process keeps open. It opens as many again for a short time under load."
    )
    connect_timeout_s: int = Field(default=5, description="How long to wait for a new connection.")
    statement_timeout_s: int = Field(default=30, description="How long one SQL statement may take before it is cancelled.")
    prepare_threshold: int = Field(
        default=5,
        ge=0,
        description="After how many runs PostgreSQL keeps a statement prepared. 0: never, and a session keeps nothing else: "
        "for PgBouncer in transaction mode. `?pgbouncer=true` in the URL does the same.",
    )

    @field_validator("url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if scheme in ("postgres", "postgresql") and separator:
            return f"postgresql+psycopg://{rest}"
        return check_start(value, "postgresql+psycopg://", "postgresql://", "postgres://", "sqlite://")


class BrokerSettings(Concern):
    """DERMQ_BROKER_*: Redis or Valkey. It carries wake-up messages only."""

    model_config = variables_of("DERMQ_BROKER_")

    url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="Address of Redis or Valkey: redis://user:password@host:port/0, rediss:// for TLS, unix:///path of a "
        "socket, in which % is %25, ? is %3F and # is %23, or sentinel://host:26379,host:26379/0?master=name.",
    )
    password: SecretStr = Field(default=SecretStr(""), description="Put into the URL, which then must hold none.")
    key_prefix: str = Field(
        default="", max_length=64, description="Put before each key, where a Redis is shared: dermq: for example."
    )
    ca: Path | None = Field(
        default=None, description="PEM file of the authorities that sign the broker's certificate. Empty: the system's."
    )
    socket_timeout_s: float = Field(default=5.0, description="How long to wait for an answer of the broker.")

    @field_validator("url")
    @classmethod
    def _supported(cls, value: SecretStr) -> SecretStr:
        check_start(value.get_secret_value(), "redis://", "rediss://", "unix:///", "redis+socket:///", "sentinel://")
        asked = parse_qs(urlsplit(value.get_secret_value()).query)
        if asked.get("ssl_cert_reqs", ["required"]) != ["required"] or "ssl_check_hostname" in asked:
            raise ValueError("expected no weaker ssl_cert_reqs and no ssl_check_hostname in it: rediss:// is always verified")
        if value.get_secret_value().startswith("sentinel://"):
            read_sentinels(value.get_secret_value())
        return value

    @field_validator("ca")
    @classmethod
    def _a_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"expected a PEM file, and there is none at {value}")
        return value

    @property
    def tls_options(self) -> dict[str, Any]:
        """What redis-py is to be told where the address is rediss://: the certificate and its name are verified. Else empty."""
        if not self.url.get_secret_value().startswith("rediss://"):
            return {}
        options: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        return options | ({"ssl_ca_certs": str(self.ca)} if self.ca else {})

    def require_password(self) -> None:
        """Refuse a broker that others can reach, and that asks nobody who is there.

        Raises:
            ValueError: it is beyond loopback, and neither the URL nor DERMQ_BROKER_PASSWORD has a password.
        """
        parts = urlsplit(self.full_url)
        if parts.hostname and not parts.password and not is_loopback(parts.hostname):
            raise ValueError(
                f"expected a password for the broker at {parts.hostname}, beyond loopback: whoever reaches it could stop all "
                "work; set DERMQ_BROKER_PASSWORD, and the same in Redis (requirepass, or a user with an ACL)"
            )

    @property
    def full_url(self) -> str:
        """The URL with its password, as redis-py has it: not for logs."""
        url = with_password(self.url.get_secret_value(), self.password, variable="DERMQ_BROKER")
        return url.replace("redis+socket:///", "unix:///", 1) if url.startswith("redis+socket:///") else url

    @property
    def celery_url(self) -> str:
        """The same, as Celery has it: a socket is redis+socket:///path there."""
        url = self.full_url
        if self.sentinels is not None:
            return self.sentinels.celery_url
        return url.replace("unix:///", "redis+socket:///", 1) if url.startswith("unix:///") else url

    @property
    def sentinels(self) -> Sentinels | None:
        """Who knows where the broker is; None where its address is in the URL."""
        url = self.full_url
        return read_sentinels(url) if url.startswith("sentinel://") else None


class StorageSettings(Concern):
    """DERMQ_STORAGE_*: object storage. An empty url means a folder in the data folder; else file:///… or s3://bucket/prefix."""

    model_config = variables_of("DERMQ_STORAGE_")

    url: str = Field(
        default="",
        description="Where uploads and indexes lie: file:///path or s3://bucket/prefix. Empty: a folder in the data folder. "
        "In a path, % is %25, ? is %3F and # is %23.",
    )
    s3_endpoint: str = Field(default="", description="Address of an S3-compatible server. Empty: AWS.")
    s3_region: str = Field(default="us-east-1", description="Region of the bucket.")
    s3_access_key_id: SecretStr = Field(
        default=SecretStr(""), description="Key of the bucket. Empty: the credentials that the AWS environment gives."
    )
    s3_secret_access_key: SecretStr = Field(default=SecretStr(""), description="Secret that belongs to the key.")
    s3_requester_pays: bool = Field(
        default=False,
        description="Whether DermQ agrees to pay for its requests: a bucket with requester pays refuses all others.",
    )
    timeout_s: float = Field(default=30.0, description="How long one request to S3 may take.")
    min_free_bytes: int = Field(
        default=512 * 1024**2,
        ge=0,
        description="Where the storage is a folder: an upload that would leave less room on its disk gets 507. 0: none does.",
    )
    scan_interval_s: float = Field(
        default=21_600.0, gt=0, description="Time between two scans for objects that no job knows of."
    )
    stray_age_s: float = Field(
        default=86_400.0, gt=0, description="Age at which such an object is deleted: longer than any upload."
    )

    @field_validator("url")
    @classmethod
    def _known_place(cls, value: str) -> str:
        return check_file_url(check_start(value, "file:///", "file://localhost/", "s3://"))
