"""The model servers, and the repository that they read."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from core.plainlists import check_grpc_address
from core.secretfiles import Concern
from core.settings.reading import variables_of


class ServingSettings(Concern):
    """DERMQ_SERVING_*: TensorFlow Serving's gRPC endpoint."""

    model_config = variables_of("DERMQ_SERVING_")

    address: str = Field(default="127.0.0.1:8500", description="host:port, or dns:///host:port for several replicas.")
    tls: bool = Field(
        default=False,
        description="Whether to speak TLS to Serving, trusting the system's authorities. On where one of the next four is set.",
    )
    ca: Path | None = Field(default=None, description="PEM file of the authorities that sign Serving's certificate.")
    certificate: Path | None = Field(
        default=None, description="PEM file of the certificate that Serving asks its clients for; needs the key."
    )
    key: Path | None = Field(default=None, description="PEM file of the key that belongs to the certificate.")
    token: SecretStr = Field(
        default=SecretStr(""), description="Sent with each call as `authorization: Bearer`, for a proxy before Serving."
    )
    timeout_s: float = Field(
        default=20.0, description="Deadline of one Predict request. Keep it below the soft limit of a task."
    )
    default_model: str = Field(default="starter", description="Model of jobs that name none.")

    @field_validator("address")
    @classmethod
    def _no_url(cls, value: str) -> str:
        return check_grpc_address(value)

    @field_validator("ca", "certificate", "key")
    @classmethod
    def _a_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"expected a PEM file, and there is none at {value}")
        return value

    @model_validator(mode="after")
    def _a_pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("expected DERMQ_SERVING_CERTIFICATE and DERMQ_SERVING_KEY together, got one of them")
        return self

    @property
    def uses_tls(self) -> bool:
        """Whether Serving is spoken to with TLS."""
        return self.tls or bool(self.ca or self.certificate or self.token.get_secret_value())


class ModelSettings(Concern):
    """DERMQ_MODELS_*: the model repository, for those who move versions. All empty: the stack of this machine."""

    model_config = variables_of("DERMQ_MODELS_")

    dir: Path | None = Field(default=None, description="The model repository: <name>/<version>/saved_model.pb.")
    config: Path | None = Field(default=None, description="The models.config that the model servers start with.")
    served_dir: str = Field(
        default="", description="Path of the repository as the servers see it, if it is another one: /models in the container."
    )
