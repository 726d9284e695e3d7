"""Typed settings, one class per concern, read from the environment (prefix DERMQ_) once, at the door of each process.

Secrets may also come from files (core/secretfiles.py).

Embedded defaults run everything on one machine; the same code with other addresses runs in production.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from core.errors import ConfigurationError
from core.plainlists import check_file_url, check_host, check_s3_prefix, check_start, read_switch, split_list
from core.plaintext import is_utf8, plain_text
from core.secretfiles import Concern, with_password

# Lists as people write them: /data,/mnt or, for what has commas in it, JSON: ["/data"]
Paths = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(split_list)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]


def _env(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(env_prefix=prefix, env_file=None, env_ignore_empty=True, extra="ignore", frozen=True)


def default_data_dir() -> Path:
    """$XDG_DATA_HOME/dermq, or ~/.local/share/dermq (XDG Base Directory Specification), with `~` as it stands."""
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "dermq"


def resolve_data_dir(path: Path) -> Path:
    """The data folder as an absolute path, with `~` resolved. It need not exist yet.

    Raises:
        ConfigurationError: the path begins with `~`, and the user has no home folder; its links form a loop; or its name is no
            UTF-8, which neither the ledger's address nor the model servers' configuration can say.
    """
    try:
        found = path.expanduser().resolve()
    except RuntimeError as error:  # so pathlib says both
        reason = str(error).rstrip(".")
        raise ConfigurationError(
            f"the data folder {path} cannot be found: {reason}; set DERMQ_DATA_DIR to a folder that can be written"
        ) from error
    if not is_utf8(str(found)):
        raise ConfigurationError(
            f"the data folder {plain_text(str(found))} has bytes in its name that are no UTF-8; "
            "set DERMQ_DATA_DIR to another one"
        )
    return found


def _sqlite_url(path: Path) -> str:
    """The address of a file, with `%`, `?` and `#` quoted."""
    from sqlalchemy import URL  # noqa: PLC0415 - it would make each command slower that only looks for the data folder

    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


class DataSettings(Concern):
    """DERMQ_DATA_DIR: the folder that holds all state of the embedded defaults."""

    model_config = _env("DERMQ_")

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Folder that holds all state of the embedded defaults: ledger, objects, models, queue, logs. `dermq` makes "
        "it private (mode 700), or refuses it where others can read it and it holds other things.",
    )


class DatabaseSettings(Concern):
    """DERMQ_DATABASE_*: the ledger. An empty url means SQLite in the data folder."""

    model_config = _env("DERMQ_DATABASE_")

    url: str = Field(
        default="",
        description="SQLAlchemy URL of the ledger: postgresql+psycopg://user@host/name or sqlite:///path. Empty: SQLite in the "
        "data folder.",
    )
    password: SecretStr = Field(default=SecretStr(""), description="Put into the URL, which then must hold none.")
    pool_size: int = Field(
        default=5, description="Connections that a process keeps open. It opens as many again for a short time under load."
    )
    connect_timeout_s: int = Field(default=5, description="How long to wait for a new connection.")
    statement_timeout_s: int = Field(default=30, description="How long one SQL statement may take before it is cancelled.")

    @field_validator("url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        return check_start(value, "postgresql+psycopg://", "sqlite://")


class BrokerSettings(Concern):
    """DERMQ_BROKER_*: Redis or Valkey. It carries wake-up messages only."""

    model_config = _env("DERMQ_BROKER_")

    url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="Address of Redis or Valkey: redis://host:port/0, rediss:// for TLS, or unix:///path of a socket, in which "
        "% is %25, ? is %3F and # is %23.",
    )
    password: SecretStr = Field(default=SecretStr(""), description="Put into the URL, which then must hold none.")
    socket_timeout_s: float = Field(default=5.0, description="How long to wait for an answer of the broker.")

    @field_validator("url")
    @classmethod
    def _supported(cls, value: SecretStr) -> SecretStr:
        check_start(value.get_secret_value(), "redis://", "rediss://", "unix:///", "redis+socket:///")
        return value

    @property
    def full_url(self) -> str:
        """The URL with its password, as redis-py has it: not for logs."""
        url = with_password(self.url.get_secret_value(), self.password, variable="DERMQ_BROKER")
        return url.replace("redis+socket:///", "unix:///", 1) if url.startswith("redis+socket:///") else url

    @property
    def celery_url(self) -> str:
        """The same, as Celery has it: a socket is redis+socket:///path there."""
        url = self.full_url
        return url.replace("unix:///", "redis+socket:///", 1) if url.startswith("unix:///") else url


class StorageSettings(Concern):
    """DERMQ_STORAGE_*: object storage. An empty url means a folder in the data folder; else file:///… or s3://bucket/prefix."""

    model_config = _env("DERMQ_STORAGE_")

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
    timeout_s: float = Field(default=30.0, description="How long one request to S3 may take.")
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


class ServingSettings(Concern):
    """DERMQ_SERVING_*: TensorFlow Serving's gRPC endpoint."""

    model_config = _env("DERMQ_SERVING_")

    address: str = Field(default="127.0.0.1:8500", description="host:port, or dns:///host:port for several replicas.")
    timeout_s: float = Field(
        default=20.0, description="Deadline of one Predict request. Keep it below the soft limit of a task."
    )
    default_model: str = Field(default="starter", description="Model of jobs that name none.")


class ModelSettings(Concern):
    """DERMQ_MODELS_*: the model repository, for those who move versions. All empty: the stack of this machine."""

    model_config = _env("DERMQ_MODELS_")

    dir: Path | None = Field(default=None, description="The model repository: <name>/<version>/saved_model.pb.")
    config: Path | None = Field(default=None, description="The models.config that the model servers start with.")
    served_dir: str = Field(
        default="", description="Path of the repository as the servers see it, if it is another one: /models in the container."
    )


class ImageLimits(Concern):
    """DERMQ_IMAGE_*: what one image may cost."""

    model_config = _env("DERMQ_IMAGE_")

    max_pixels: int = Field(default=100_000_000, description="Pixels of one image; more is `too_many_pixels`.")
    max_bytes: int = Field(
        default=64 * 1024 * 1024, description="Size of one member of an archive, uncompressed; more is `too_large`."
    )


class PictureSettings(Concern):
    """DERMQ_PICTURES_*: the processes that decode pictures for pages."""

    model_config = _env("DERMQ_PICTURES_")

    processes: int = Field(default=2, ge=1, le=64, description="Processes that decode pictures for pages, started when needed.")
    memory_bytes: int = Field(
        default=640 * 1024**2, ge=256 * 1024**2, description="What one may allocate, in bytes; a picture beyond is not shown."
    )
    timeout_s: float = Field(default=20.0, gt=0, description="How long one picture may take to decode.")
    cache_bytes: int = Field(default=64 * 1024**2, ge=0, description="Thumbnails that the API keeps in memory, in bytes.")


class ApiSettings(Concern):
    """DERMQ_API_*: the HTTP server."""

    model_config = _env("DERMQ_API_")

    host: str = Field(
        default="127.0.0.1",
        description="Address that the server listens on. Beyond loopback only with DERMQ_API_ALLOW_UNAUTHENTICATED.",
    )
    port: int = Field(default=8080, ge=1, le=65535, description="Port that the server listens on.")
    max_upload_bytes: int = Field(default=100 * 1024**3, description="Largest upload that is taken, in bytes.")
    source_roots: Paths = Field(
        default=(),
        description="Folders of the server that a job may name as its source (/data,/mnt/scans). The workers check it again: "
        "they need the same list. Empty: none.",
    )
    allow_s3_sources: Words = Field(
        default=(),
        description="s3:// addresses that a job may name as its source, with all below them (s3://clinic/2026,s3://other). "
        "DermQ reads them with its own credentials. `true` or s3:// is all that these credentials reach. The workers check it "
        "again: they need the same list. Empty: none.",
    )
    allowed_hosts: Words = Field(
        default=(),
        description="Names in the Host header under which the API answers (dermq.example,*.dermq.svc), besides loopback names, "
        "IP addresses and the name in DERMQ_API_PUBLIC_URL. /healthz and /readyz answer under every name.",
    )
    watch_interval_s: float = Field(default=1.0, ge=0, description="Time between two looks at what jobs may wait for. 0: none.")
    classify_wait_s: float = Field(default=30.0, description="How long POST /v1/classify waits before it answers with 202.")
    public_url: str = Field(
        default="", description="Address of the API as clients see it, where a proxy stands in front. Links are made from it."
    )
    models: Words = Field(default=(), description="Models that GET /v1/models lists besides the default one (first,second).")
    canary_percent: float = Field(
        default=0.0, ge=0, le=100, description="Share of new jobs that name no version: they go to the label `canary`."
    )
    allow_unauthenticated: bool = Field(
        default=False, description="Listen beyond loopback without keys: for a container on a private network only."
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
        return tuple(map(check_s3_prefix, value))

    @field_validator("allowed_hosts", mode="after")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_host, value))


class WorkerSettings(Concern):
    """DERMQ_WORKER_*: sizes and times of the work. Refused where leases and limits are out of order."""

    model_config = _env("DERMQ_WORKER_")

    concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1, description="Child processes of a worker; each takes one chunk at a time."
    )
    chunk_items: int = Field(default=256, gt=0, description="Most items in a chunk.")
    chunk_bytes: int = Field(default=64 * 1024 * 1024, gt=0, description="About the most packed bytes of members in a chunk.")
    batch_items: int = Field(default=32, gt=0, description="Images in one Predict request.")
    window: int = Field(default=16, gt=0, description="Chunks of one job that are published at a time, at priority 1.")
    soft_limit_s: float = Field(default=60.0, description="After this time a task ends its work in order.")
    hard_limit_s: float = Field(default=75.0, description="After this time the process of a task is killed.")
    lease_s: float = Field(
        default=15.0,
        ge=3.0,
        description="A worker renews its hold on a chunk three times in this time. A chunk that nobody renews runs elsewhere.",
    )
    visibility_timeout_s: float = Field(
        default=300.0, description="After this time Redis would deliver a message again. More than twice the hard limit."
    )
    sweep_interval_s: float = Field(default=5.0, description="Time between two runs of the sweeper.")
    republish_s: float = Field(default=30.0, description="A published chunk that nobody has claimed is published again then.")
    max_crashes: int = Field(default=2, description="A chunk that has lost its worker process so often is split.")
    max_crashes_alone: int = Field(
        default=4, ge=1, description="An image that stood alone when its worker process was lost so often is `decoder_crash`."
    )
    max_bugs: int = Field(
        default=2, ge=1, description="A chunk that an unforeseen error has ended so often is split; a single image fails."
    )
    backoff_s: float = Field(default=1.0, description="First wait of a chunk for a dependency that is unavailable; it doubles.")
    max_backoff_s: float = Field(default=30.0, description="Longest wait of a chunk for a dependency that is unavailable.")
    retention_days: float = Field(
        default=30.0, description="How long an ended job is kept. Set when a job is submitted: a new value holds for new jobs."
    )
    events: bool = Field(
        default=False,
        description="Send Celery events, for Flower. Costs a message for each task and lets Flower control workers.",
    )
    heartbeat_file: Path | None = Field(
        default=None, description="File that `python -m worker health` reads. Empty: none is written."
    )

    @model_validator(mode="after")
    def _ordered(self) -> WorkerSettings:
        if not self.soft_limit_s < self.hard_limit_s:
            raise ValueError(
                f"expected DERMQ_WORKER_SOFT_LIMIT_S < HARD_LIMIT_S, got {self.soft_limit_s} and {self.hard_limit_s}: a task "
                "must have time to end in order before its process is killed"
            )
        if not self.visibility_timeout_s > 2 * self.hard_limit_s:
            raise ValueError(
                f"expected DERMQ_WORKER_VISIBILITY_TIMEOUT_S > 2 x HARD_LIMIT_S (a task and one that waits before it), got "
                f"{self.visibility_timeout_s} for {self.hard_limit_s}: Redis would deliver running tasks again"
            )
        return self


class LogSettings(Concern):
    """DERMQ_LOG_*: the logs, one JSON object a line."""

    model_config = _env("DERMQ_LOG_")

    level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @field_validator("level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in logging.getLevelNamesMapping():
            raise ValueError(f"expected DEBUG, INFO, WARNING or ERROR, got {value!r}")
        return value


class MetricsSettings(Concern):
    """DERMQ_METRICS_*: the Prometheus page of worker and beat, and the recommended number of workers."""

    model_config = _env("DERMQ_METRICS_")

    host: str = Field(default="127.0.0.1", description="Address that the page of worker and beat listens on.")
    port: int = Field(default=0, ge=0, le=65535, description="Port of that page. 0: no page. The API has its own at /metrics.")
    item_s: float = Field(
        default=0.01, gt=0, description="A worker process's time for one item, as long as no chunk has been measured."
    )
    drain_s: float = Field(
        default=600.0, gt=0, description="Within this time the recommended workers would finish what is there to do."
    )


class TracingSettings(Concern):
    """DERMQ_TRACING_*: whether there are traces. OpenTelemetry's own OTEL_* variables say where they go."""

    model_config = _env("DERMQ_TRACING_")

    enabled: bool | None = Field(
        default=None, description="Empty: on where OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set."
    )


@dataclass(frozen=True)
class Settings:
    """All concerns together; each process reads it once and hands the parts on."""

    data: DataSettings = field(default_factory=DataSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    serving: ServingSettings = field(default_factory=ServingSettings)
    models: ModelSettings = field(default_factory=ModelSettings)
    image: ImageLimits = field(default_factory=ImageLimits)
    api: ApiSettings = field(default_factory=ApiSettings)
    pictures: PictureSettings = field(default_factory=PictureSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the ledger, with its password: not for logs."""
        url = with_password(self.database.url, self.database.password, variable="DERMQ_DATABASE")
        return url or _sqlite_url(resolve_data_dir(self.data.data_dir) / "dermq.db")

    @property
    def storage_url(self) -> str:
        """file:/// or s3:// URL of the object storage."""
        return self.storage.url or (resolve_data_dir(self.data.data_dir) / "objects").as_uri()
