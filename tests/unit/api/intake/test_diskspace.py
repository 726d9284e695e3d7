"""The disk that is looked at is the one that the storage lies on, or will."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from api.intake.diskspace import make_guard
from core.settings import Settings, StorageSettings


@pytest.mark.parametrize("there", [b"\xff/objects", b"\xff", b"."], ids=["itself", "parent", "above"])
def test_the_folder_or_its_closest_parent_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bytes) -> None:
    closest = tmp_path / os.fsdecode(there)
    closest.mkdir(parents=True, exist_ok=True)
    asked, usage = [], shutil.disk_usage(tmp_path)

    def note(path: Path) -> Any:
        asked.append(path)
        return usage

    monkeypatch.setattr(shutil, "disk_usage", note)
    storage = StorageSettings(url=f"{tmp_path.as_uri()}/%FF/objects", min_free_bytes=1)
    make_guard(Settings(storage=storage))(0)
    assert asked == [closest]
