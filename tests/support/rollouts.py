"""A model repository, the embedded server that starts from its models.config, and a Rollout over both."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from core.db.engine import open_engine
from core.db.schema.migrate import upgrade
from core.settings import DatabaseSettings
from serving.client import PredictClient
from serving.embedded.options import Options
from serving.embedded.server import EmbeddedServer
from serving.lifecycle.configfile import ModelsConfig, generate
from serving.lifecycle.fleet import Fleet
from serving.lifecycle.golden import Golden, draw_images
from serving.lifecycle.rollout import Rollout
from serving.repository import ModelRepository
from tests.support.tiny_model import export_tiny_model, tiny_probabilities

BIASES = {1: 0.0, 2: 1.5, 3: 3.0}
BROKEN = 4  # cannot be loaded
SWAPPED = 5  # answers otherwise than its golden batch says


@dataclass
class Served:
    """What a test works with."""

    root: Path
    config_path: Path
    rollout: Rollout
    client: PredictClient
    engine: Engine

    @property
    def config(self) -> ModelsConfig:
        return ModelsConfig.read(self.config_path)

    def states(self, model: str = "tiny") -> dict[int, str]:
        return {each.version: each.state for each in self.client.model_status(model)}


def make_repository(root: Path) -> ModelRepository:
    """The model `tiny`: versions 1 to 3 with their golden batches, a broken one and a swapped one."""
    for number, bias in BIASES.items():
        export_tiny_model(root / "tiny", number, bias=bias)
    broken = root / "tiny" / str(BROKEN)
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"no protobuf")
    shutil.copytree(root / "tiny" / "3", root / "tiny" / str(SWAPPED))
    repository = ModelRepository(root)
    for version in repository.versions("tiny"):
        save_golden(repository, version.number, BIASES.get(version.number, 0.0))
    return repository


def save_golden(repository: ModelRepository, number: int, bias: float) -> None:
    images = draw_images(28, 28)
    Golden(images, tiny_probabilities(images, bias=bias)).save(repository.version("tiny", number))


def start_server(config_path: Path, **options: Any) -> EmbeddedServer:
    """With the flags that the one-machine stack gives it."""
    server = EmbeddedServer(
        Options(
            port=0,
            model_config_file=str(config_path),
            allow_version_labels_for_unavailable_models=True,
            **{"file_system_poll_wait_seconds": 0.2, "max_num_load_retries": 0, **options},
        )
    )
    server.start()
    return server


@contextmanager
def served(folder: Path, root: Path, tell: Callable[[str], None] = print) -> Iterator[Served]:
    """Version 1 of `tiny` is loaded and stable; nothing else is."""
    repository = ModelRepository(root)
    config_path = folder / "models.config"
    generate(repository).with_versions("tiny", [1]).with_label("tiny", "stable", 1).write(config_path)
    server = start_server(config_path)
    engine = open_engine(f"sqlite:///{folder / 'ledger.db'}", DatabaseSettings())
    upgrade(engine)
    address = f"127.0.0.1:{server.port}"
    try:
        with Fleet([address]) as fleet, PredictClient(address, timeout_s=20) as client:
            rollout = Rollout(repository, config_path, fleet, engine, "tester@here", timeout_s=30, tell=tell)
            yield Served(root, config_path, rollout, client, engine)
    finally:
        server.stop()
        engine.dispose()
