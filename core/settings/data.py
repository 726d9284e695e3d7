"""The folder that holds all state of the embedded defaults."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from core.datafolder import default_data_dir
from core.secretfiles import Concern
from core.settings.reading import variables_of


class DataSettings(Concern):
    """DERMQ_DATA_DIR: the folder that holds all state of the embedded defaults."""

    model_config = variables_of("DERMQ_")

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Folder that holds all state of the embedded defaults: ledger, objects, models, queue, logs. `dermq` makes "
        "it private (mode 700), or refuses it where others can read it and it holds other things.",
    )
