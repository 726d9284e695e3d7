"""What the API watches Serving with is given back at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.publisher import Publisher
from api.watching import make_watch
from core.db.engine import open_engine
from core.settings import DataSettings, ServingSettings, Settings
from serving.client import PredictClient


def test_the_channel_to_serving_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(PredictClient, "close", lambda self: closed.append(self.address))
    settings = Settings(data=DataSettings(data_dir=tmp_path), serving=ServingSettings(address="127.0.0.1:9"))
    engine = open_engine(settings.database_url, settings.database)
    watch = make_watch(settings, engine, Publisher(settings, on_lost=lambda _: None))
    watch.start()
    assert closed == []
    watch.close()
    assert closed == ["127.0.0.1:9"]
