"""models.config of the one-machine stack: what serving.lifecycle.configfile makes of the models that this machine has."""

from __future__ import annotations

from pathlib import Path

import serving
from cli.stack.folder import DataFolder
from core.errors import NotFoundError
from serving.lifecycle.configfile import ModelsConfig, generate
from serving.repository import ModelRepository


def find_repository(folder: DataFolder) -> ModelRepository:
    """The models that come with DermQ, and the user's own, which go before."""
    return ModelRepository(Path(serving.__file__).parent / "models", folder.models)


def write_models_config(repository: ModelRepository, path: Path) -> list[str]:
    """Write the configuration that the model server starts with; labels and loaded versions of the last run stay.

    Returns:
        The models in it; none: nothing was written.

    Raises:
        InvalidRequestError: what lies there was changed by hand and cannot be read.
    """
    try:
        known = ModelsConfig.read(path)
    except NotFoundError:
        known = None
    config = generate(repository, known)
    if config.models:
        config.write(path)
    return config.models
