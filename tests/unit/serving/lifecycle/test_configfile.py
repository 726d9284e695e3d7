"""models.config: as TensorFlow Serving's own parser reads it, and what a restart keeps of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from core.errors import InvalidRequestError, NotFoundError
from serving.lifecycle.configfile import ModelsConfig, generate
from serving.repository import ModelRepository


def make_model(root: Path, name: str, *versions: int) -> ModelRepository:
    for version in versions:
        (root / name / str(version)).mkdir(parents=True)
        (root / name / str(version) / "saved_model.pb").write_bytes(b"graph")
    return ModelRepository(root)


def official(config: ModelsConfig) -> Any:
    return text_format.Parse(config.render(), model_server_config_pb2.ModelServerConfig()).model_config_list.config


def test_the_official_parser_reads_what_is_meant(tmp_path: Path) -> None:
    root = tmp_path / 'a "quoted" \\ Ordner mit Ümlaut'
    (entry,) = official(generate(make_model(root, "starter", 2, 10)))
    assert (entry.name, entry.base_path, entry.model_platform) == ("starter", str(root / "starter"), "tensorflow")
    assert list(entry.model_version_policy.specific.versions) == [10]
    assert dict(entry.version_labels) == {"stable": 10}


def test_a_restart_keeps_labels_and_loaded_versions(tmp_path: Path) -> None:
    repository = make_model(tmp_path, "m", 1, 2, 3)
    known = generate(repository).with_versions("m", [1, 2]).with_label("m", "stable", 1).with_label("m", "canary", 2)
    known.write(tmp_path / "models.config")
    again = generate(make_model(tmp_path, "n", 1), ModelsConfig.read(tmp_path / "models.config"))
    assert (again.versions("m"), again.labels("m")) == ((1, 2), {"stable": 1, "canary": 2})
    assert (again.versions("n"), again.labels("n")) == ((1,), {"stable": 1})


def test_what_was_deleted_by_hand_does_not_keep_the_server_from_starting(tmp_path: Path) -> None:
    known = generate(make_model(tmp_path / "old", "m", 1, 2, 5))
    known = known.with_versions("m", [1, 2, 5]).with_label("m", "stable", 5).with_label("m", "canary", 2)
    left = generate(make_model(tmp_path / "new", "m", 1, 2), known)
    assert (left.versions("m"), left.labels("m")) == ((1, 2), {"stable": 2, "canary": 2})
    assert official(left)[0].base_path == str(tmp_path / "new" / "m")
    afresh = generate(make_model(tmp_path / "other", "m", 7), known)
    assert (afresh.versions("m"), afresh.labels("m")) == ((7,), {"stable": 7})
    assert generate(ModelRepository(tmp_path / "nothing"), known).models == []


def test_a_file_of_another_policy_keeps_all_it_served(tmp_path: Path) -> None:
    path = tmp_path / "models.config"
    path.write_text(
        'model_config_list { config { name: "m" base_path: "/m" model_version_policy { all {} } '
        'version_labels { key: "stable" value: 1 } } }'
    )
    known = ModelsConfig.read(path)
    assert known.versions("m") is None
    again = generate(make_model(tmp_path, "m", 1, 2), known)
    assert (again.versions("m"), again.labels("m")) == ((1, 2), {"stable": 1})


def test_a_change_leaves_the_old_one_to_go_back_to(tmp_path: Path) -> None:
    old = generate(make_model(tmp_path, "m", 1))
    new = old.with_versions("m", [2, 1]).with_label("m", "canary", 2)
    assert (old.versions("m"), old.labels("m")) == ((1,), {"stable": 1})
    assert (new.versions("m"), new.labels("m")) == ((1, 2), {"stable": 1, "canary": 2})
    assert new.with_versions("m", [1]).with_label("m", "canary", None) == old
    with pytest.raises(NotFoundError, match="'x' is not configured"):
        old.with_label("x", "stable", 1)


def test_the_file_is_replaced_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "models.config"
    config = generate(make_model(tmp_path, "m", 1))
    config.write(path)
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o600)
    config.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert ModelsConfig.read(path) == config
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m", "models.config"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="dermq up"):
        ModelsConfig.read(tmp_path / "models.config")
    (tmp_path / "models.config").write_text("model_config_list { nonsense }")
    with pytest.raises(InvalidRequestError, match="text-format ModelServerConfig"):
        ModelsConfig.read(tmp_path / "models.config")
