"""The model servers, and the repository that they read."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from core.secretfiles import Concern
from core.settings.reading import variables_of


class ServingSettings(Concern):
    """DERMQ_SERVING_*: TensorFlow Serving's gRPC endpoint."""

    model_config = variables_of("DERMQ_SERVING_")

    address: str = Field(default="127.0.0.1:8500", description="host:port, or dns:///host:port for several replicas.")
    timeout_s: float = Field(
        default=20.0, description="Deadline of one Predict request. Keep it below the soft limit of a task."
    )
    default_model: str = Field(default="starter", description="Model of jobs that name none.")


class ModelSettings(Concern):
    """DERMQ_MODELS_*: the model repository, for those who move versions. All empty: the stack of this machine."""

    model_config = variables_of("DERMQ_MODELS_")

    dir: Path | None = Field(default=None, description="The model repository: <name>/<version>/saved_model.pb.")
    config: Path | None = Field(default=None, description="The models.config that the model servers start with.")
    served_dir: str = Field(
        default="", description="Path of the repository as the servers see it, if it is another one: /models in the container."
    )
