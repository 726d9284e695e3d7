"""The model repository: what counts as a version, what is refused, what becomes visible when."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConflictError, InvalidRequestError, NotFoundError
from serving.repository import ModelRepository, check_saved_model, list_versions, publish


def make_version(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    return folder


def make_model(folder: Path, *versions: str) -> Path:
    for version in versions:
        make_version(folder / version)
    return folder


def test_versions_are_integer_folders_with_a_saved_model(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", "9", "10", "00000012", "tmp", ".13.part", "-1", str(2**63))
    (model / "11").mkdir()
    assert list(list_versions(model)) == [9, 10, 12]
    assert list_versions(model)[12] == model / "00000012"
    assert list_versions(tmp_path / "gone") == {}


def test_a_model_in_a_later_root_hides_that_of_an_earlier_one(tmp_path: Path) -> None:
    make_model(tmp_path / "shipped" / "starter", "1")
    mine = make_model(tmp_path / "mine" / "starter", "1")
    make_model(tmp_path / "mine" / "other", "1")
    (tmp_path / "mine" / "empty").mkdir()
    repository = ModelRepository(tmp_path / "shipped", tmp_path / "gone", tmp_path / "mine")
    assert repository.models() == {"starter": mine, "other": tmp_path / "mine" / "other"}
    assert repository.base_path("starter") == str(mine)
    assert [each.number for each in repository.versions("starter")] == [1]
    assert repository.versions("empty") == []


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    make_model(tmp_path / "starter", "1", "3")
    repository = ModelRepository(tmp_path)
    with pytest.raises(NotFoundError, match=r"no version 2 in .*: it has 1, 3"):
        repository.version("starter", 2)
    with pytest.raises(NotFoundError, match=r"no model 'other'.*\['starter'\]"):
        repository.version("other", 1)


def test_the_server_may_see_the_models_elsewhere(tmp_path: Path) -> None:
    make_model(tmp_path / "m", "1")
    assert ModelRepository(tmp_path, served_root="/models/").base_path("m") == "/models/m"


def test_a_new_version_is_invisible_until_it_is_whole(tmp_path: Path) -> None:
    source = make_version(tmp_path / "export")
    repository = ModelRepository(tmp_path / "models")
    with repository.new_version("m", source) as staged:
        assert (staged.number, repository.versions("m")) == (1, [])
        (staged.path / "more").write_text("completed while staged")
    assert (repository.version("m", 1).path / "more").is_file()
    with pytest.raises(RuntimeError), repository.new_version("m", source):
        raise RuntimeError
    assert [path.name for path in (tmp_path / "models" / "m").iterdir()] == ["1"]


def test_two_that_publish_the_same_version_do_not_overwrite_each_other(tmp_path: Path) -> None:
    repository = ModelRepository(tmp_path / "models")
    with (
        pytest.raises(ConflictError, match="versions never change"),
        repository.new_version("m", make_version(tmp_path / "export")),
    ):
        make_version(tmp_path / "models" / "m" / "1")
    with pytest.raises(ConflictError):
        publish(make_version(tmp_path / "x"), tmp_path / "models" / "m" / "1")


def test_adding_to_a_shipped_model_keeps_its_versions(tmp_path: Path) -> None:
    make_model(tmp_path / "shipped" / "starter", "1")
    repository = ModelRepository(tmp_path / "shipped", tmp_path / "mine")
    with repository.new_version("starter", make_version(tmp_path / "export")) as staged:
        assert staged.number == 2
    assert [each.number for each in repository.versions("starter")] == [1, 2]
    assert repository.base_path("starter") == str(tmp_path / "mine" / "starter")
    assert list(list_versions(tmp_path / "shipped" / "starter")) == [1]


@pytest.mark.parametrize("name", ["", "../m", "a/b", ".hidden", "a b", "x" * 101])
def test_names_that_are_no_folder_names_are_refused(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(InvalidRequestError, match="expected a model name"),
        ModelRepository(tmp_path).new_version(name, make_version(tmp_path / "e")),
    ):
        raise AssertionError("not reached")


def test_a_cut_saved_model_is_told_without_loading_it(tmp_path: Path) -> None:
    version = make_version(tmp_path / "1")
    check_saved_model(version)
    (version / "variables").mkdir()
    check_saved_model(version)  # frozen: no variables, an empty folder
    (version / "variables" / "variables.index").write_bytes(b"i")
    with pytest.raises(InvalidRequestError, match="together"):
        check_saved_model(version)
    (version / "variables" / "variables.data-00000-of-00002").write_bytes(b"d")
    with pytest.raises(InvalidRequestError, match="expected 2 shards, got 1"):
        check_saved_model(version)
    (version / "variables" / "variables.data-00001-of-00002").write_bytes(b"d")
    check_saved_model(version)
    (version / "saved_model.pb").write_bytes(b"")
    with pytest.raises(InvalidRequestError, match=r"saved_model\.pb"):
        check_saved_model(version)
