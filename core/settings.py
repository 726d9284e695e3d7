"""Typed settings, one class per concern, read from the environment (prefix DERMQ_) once, at the door of each process.

Secrets may also come from files (core/secretfiles.py).

Embedded defaults run everything on one machine; the same code with other addresses runs in production.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from core.secretfiles import Concern, with_password


def _env(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(env_prefix=prefix, env_file=None, env_ignore_empty=True, extra="ignore", frozen=True)


def default_data_dir() -> Path:
    """$XDG_DATA_HOME/dermq, or ~/.local/share/dermq (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "dermq"


class DataSettings(Concern):
    """DERMQ_DATA_DIR: the folder that holds all state of the embedded defaults."""

    model_config = _env("DERMQ_")

    data_dir: Path = Field(default_factory=default_data_dir)


class DatabaseSettings(Concern):
    """DERMQ_DATABASE_*: the ledger. An empty url means SQLite in the data folder."""

    model_config = _env("DERMQ_DATABASE_")

    url: str = ""  # postgresql+psycopg://… or sqlite:///…
    password: SecretStr = SecretStr("")  # put into the url, which then holds none
    pool_size: int = 5
    connect_timeout_s: int = 5
    statement_timeout_s: int = 30


class BrokerSettings(Concern):
    """DERMQ_BROKER_*: Redis or Valkey, the doorbell."""

    model_config = _env("DERMQ_BROKER_")

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    password: SecretStr = SecretStr("")  # put into the url, which then holds none
    socket_timeout_s: float = 5.0

    @property
    def full_url(self) -> str:
        """The URL with its password: not for logs."""
        return with_password(self.url.get_secret_value(), self.password, variable="DERMQ_BROKER")


class StorageSettings(Concern):
    """DERMQ_STORAGE_*: object storage. An empty url means a folder in the data folder; else file:///… or s3://bucket/prefix."""

    model_config = _env("DERMQ_STORAGE_")

    url: str = ""
    s3_endpoint: str = ""  # for S3-compatible servers; empty means AWS
    s3_region: str = "us-east-1"
    s3_access_key_id: SecretStr = SecretStr("")  # empty means the ambient AWS credentials
    s3_secret_access_key: SecretStr = SecretStr("")
    timeout_s: float = 30.0


class ServingSettings(Concern):
    """DERMQ_SERVING_*: TensorFlow Serving's gRPC endpoint."""

    model_config = _env("DERMQ_SERVING_")

    address: str = "127.0.0.1:8500"  # host:port, or dns:///host:port for several replicas
    timeout_s: float = 20.0  # deadline of one Predict
    default_model: str = "starter"


class ModelSettings(Concern):
    """DERMQ_MODELS_*: the model repository, for those who move versions. All empty: the stack of this machine."""

    model_config = _env("DERMQ_MODELS_")

    dir: Path | None = None  # <name>/<version>/saved_model.pb
    config: Path | None = None  # the models.config that the model servers start with
    served_dir: str = ""  # where `dir` lies for the servers, if elsewhere: /models in the container


class ImageLimits(Concern):
    """DERMQ_IMAGE_*: what one image may cost."""

    model_config = _env("DERMQ_IMAGE_")

    max_pixels: int = 100_000_000
    max_bytes: int = 64 * 1024 * 1024  # one member, uncompressed


class ApiSettings(Concern):
    """DERMQ_API_*: the HTTP server."""

    model_config = _env("DERMQ_API_")

    host: str = "127.0.0.1"  # loopback only, as long as no keys are configured
    port: int = 8080
    max_upload_bytes: int = 100 * 1024**3
    source_roots: tuple[Path, ...] = ()  # server paths that may be named as a job's source
    allow_s3_sources: bool = True
    classify_wait_s: float = 30.0
    public_url: str = ""  # as clients see it, where a proxy stands in front: links are made from it
    models: tuple[str, ...] = ()  # models that GET /v1/models lists besides the default one
    canary_percent: float = Field(
        default=0.0, ge=0, le=100
    )  # share of new jobs that name no version: they go to label `canary`
    allow_unauthenticated: bool = False  # listen beyond loopback without keys: for a container on a private network only

    @field_validator("source_roots", mode="after")
    @classmethod
    def _resolved(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.resolve() for path in value)


class WorkerSettings(Concern):
    """DERMQ_WORKER_*: the ledger's rhythm. Constructed only where the inequalities of leases and limits hold."""

    model_config = _env("DERMQ_WORKER_")

    concurrency: int = Field(default_factory=lambda: os.cpu_count() or 1)
    chunk_items: int = Field(default=256, gt=0)
    chunk_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    batch_items: int = Field(default=32, gt=0)
    window: int = Field(default=16, gt=0)  # chunks of one job published at a time
    soft_limit_s: float = 60.0
    hard_limit_s: float = 75.0
    lease_s: float = 90.0
    visibility_timeout_s: float = 300.0
    sweep_interval_s: float = 5.0
    republish_s: float = 30.0  # a published chunk that nobody claimed is published again
    max_crashes: int = 2  # a chunk whose worker died so often is split
    backoff_s: float = 1.0
    max_backoff_s: float = 30.0
    retention_days: float = 30.0
    events: bool = False  # tell Flower what happens; costs a message per task and lets it control the workers
    heartbeat_file: Path | None = None  # signs of life for `python -m worker health`; None: none are given

    @model_validator(mode="after")
    def _ordered(self) -> WorkerSettings:
        if not self.soft_limit_s < self.hard_limit_s < self.lease_s:
            raise ValueError(
                "expected DERMQ_WORKER_SOFT_LIMIT_S < HARD_LIMIT_S < LEASE_S, got "
                f"{self.soft_limit_s} < {self.hard_limit_s} < {self.lease_s}: a lease must outlive the task that holds it"
            )
        if not self.visibility_timeout_s > 2 * self.hard_limit_s:
            raise ValueError(
                f"expected DERMQ_WORKER_VISIBILITY_TIMEOUT_S > 2 x HARD_LIMIT_S (a task and one that waits before it), got "
                f"{self.visibility_timeout_s} for {self.hard_limit_s}: Redis would deliver running tasks again"
            )
        return self


class LogSettings(Concern):
    """DERMQ_LOG_*."""

    model_config = _env("DERMQ_LOG_")

    level: str = "INFO"


class MetricsSettings(Concern):
    """DERMQ_METRICS_*: the Prometheus page of worker and beat, and what the recommendation of workers reckons with."""

    model_config = _env("DERMQ_METRICS_")

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)  # 0: no page; the API has its own under /metrics
    item_s: float = Field(default=0.01, gt=0)  # a worker's seconds for one item, as long as no chunk has been measured
    drain_s: float = Field(default=600.0, gt=0)  # within how long the recommended workers would finish what is there to do


class TracingSettings(Concern):
    """DERMQ_TRACING_*: whether there are traces. Where they go, and which, say OpenTelemetry's own OTEL_* variables."""

    model_config = _env("DERMQ_TRACING_")

    enabled: bool | None = None  # None: where OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) is set


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
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the ledger, with its password: not for logs."""
        url = with_password(self.database.url, self.database.password, variable="DERMQ_DATABASE")
        return url or f"sqlite:///{self.data.data_dir.resolve() / 'dermq.db'}"

    @property
    def storage_url(self) -> str:
        """file:/// or s3:// URL of the object storage."""
        return self.storage.url or (self.data.data_dir.resolve() / "objects").as_uri()
