"""Typed settings, one class per concern, read from the environment (prefix DERMQ_) once, when a process starts.

Secrets may also come from files (core/secretfiles.py).

Embedded defaults run everything on one machine; the same code with other addresses runs in production.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.datafolder import default_data_dir, resolve_data_dir
from core.secretfiles import with_password
from core.settings.api import ApiSettings
from core.settings.data import DataSettings
from core.settings.egress import EgressSettings
from core.settings.images import ImageLimits, PictureSettings
from core.settings.models import ModelSettings, ServingSettings
from core.settings.oidc import OidcSettings
from core.settings.services import BrokerSettings, DatabaseSettings, StorageSettings
from core.settings.telemetry import LogSettings, MetricsSettings, TracingSettings
from core.settings.worker import WorkerSettings

__all__ = [
    "ApiSettings",
    "BrokerSettings",
    "DataSettings",
    "DatabaseSettings",
    "EgressSettings",
    "ImageLimits",
    "LogSettings",
    "MetricsSettings",
    "ModelSettings",
    "OidcSettings",
    "PictureSettings",
    "ServingSettings",
    "Settings",
    "StorageSettings",
    "TracingSettings",
    "WorkerSettings",
    "default_data_dir",
    "resolve_data_dir",
]


def _sqlite_url(path: Path) -> str:
    """The address of a file, with `%`, `?` and `#` quoted."""
    from sqlalchemy import URL  # noqa: PLC0415 - it would make each command slower that only looks for the data folder

    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


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
    oidc: OidcSettings = field(default_factory=OidcSettings)
    egress: EgressSettings = field(default_factory=EgressSettings)
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
