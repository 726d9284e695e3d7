"""Logs, metrics and traces."""

from __future__ import annotations

import logging

from pydantic import Field, field_validator

from core.secretfiles import Concern
from core.settings.reading import variables_of


class LogSettings(Concern):
    """DERMQ_LOG_*: the logs, one JSON object a line."""

    model_config = variables_of("DERMQ_LOG_")

    level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @field_validator("level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in logging.getLevelNamesMapping():
            raise ValueError(f"expected DEBUG, INFO, WARNING or ERROR, got {value!r}")
        return value


class MetricsSettings(Concern):
    """DERMQ_METRICS_*: the Prometheus page of worker and beat, and the recommended number of workers."""

    model_config = variables_of("DERMQ_METRICS_")

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

    model_config = variables_of("DERMQ_TRACING_")

    enabled: bool | None = Field(
        default=None, description="Empty: on where OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set."
    )
