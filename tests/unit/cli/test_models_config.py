"""models.config as TensorFlow Serving's own parser reads it."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from cli.stack.models_config import find_models, list_versions, render_config


def make_model(folder: Path, *versions: str) -> Path:
    for version in versions:
        (folder / version).mkdir(parents=True)
        (folder / version / "saved_model.pb").write_bytes(b"")
    return folder


def test_versions_are_integer_folders_with_a_saved_model(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", "9", "10", "00000012", "tmp")
    (model / "11").mkdir()
    assert list_versions(model) == [9, 10, 12]
    assert list_versions(tmp_path / "gone") == []


def test_a_users_model_replaces_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    make_model(tmp_path / "shipped" / "starter", "1")
    mine = make_model(tmp_path / "mine" / "starter", "1")
    make_model(tmp_path / "mine" / "other", "1")
    (tmp_path / "mine" / "empty").mkdir()
    models = find_models(tmp_path / "shipped", tmp_path / "mine", tmp_path / "gone")
    assert models == {"starter": mine, "other": tmp_path / "mine" / "other"}


def test_the_config_says_what_is_meant(tmp_path: Path) -> None:
    model = make_model(tmp_path / 'a "quoted" \\ Ordner mit Ümlaut', "2", "10")
    config = text_format.Parse(render_config({"starter": model}), model_server_config_pb2.ModelServerConfig())
    (entry,) = config.model_config_list.config
    assert (entry.name, entry.base_path, entry.model_platform) == ("starter", str(model), "tensorflow")
    assert entry.model_version_policy.HasField("all")
    assert dict(entry.version_labels) == {"stable": 10}
