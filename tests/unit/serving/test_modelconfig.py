"""models.config: what is read, what is refused, and which versions a policy picks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.embedded.modelconfig import ModelEntry, VersionPolicy, check_platforms, read_config_file
from serving.embedded.source import FileSystemSource, find_versions
from serving.embedded.status import StatusError

GOOD = """
model_config_list: {
  config: { name: "a", base_path: "/models/a", model_platform: "tensorflow" },
  config: { name: "b", base_path: "/models/b", model_platform: "tensorflow",
    model_version_policy { latest { num_versions: 3 } },
    version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 } },
  config: { name: "c", base_path: "/models/c", model_type: TENSORFLOW, model_version_policy { all {} } },
  config: { name: "d", base_path: "/models/d", model_platform: "tensorflow",
    logging_config { log_collector_config { type: "t" filename_prefix: "/log" } sampling_config { sampling_rate: 0.1 } },
    model_version_policy { specific { versions: 4 versions: 2 } } }
}
"""


def test_names_paths_policies_and_labels_are_read(tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text(GOOD)
    a, b, c, d = read_config_file(tmp_path / "models.config")
    assert a == ModelEntry("a", Path("/models/a"), VersionPolicy(latest=1))
    assert (b.policy, dict(b.labels)) == (VersionPolicy(latest=3), {"stable": 1, "canary": 2})
    assert c.policy == VersionPolicy(latest=None)
    assert d.policy == VersionPolicy(latest=None, specific=(4, 2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "improperly formatted file",
            "models.config': Error parsing text-format tensorflow.serving.ModelServerConfig: "
            '1:1 : Message type "tensorflow.serving.ModelServerConfig" has no field named "improperly".',
        ),
        (
            "model_config_list { config { model_version_policy { newest {} } } }",
            'Message type "tensorflow.serving.FileSystemStoragePathSourceConfig.ServableVersionPolicy" has no field named',
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" } }',
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
            "model name is m",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_type: TENSORFLOW model_platform: "tensorflow" } }',
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform, "
            "model name is m",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_type: OTHER } }',
            "ModelServerConfig::model_type choice 2 not supported.",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_platform: "tensorflow" } '
            'config { name: "m" base_path: "/n" model_platform: "tensorflow" } }',
            "Illegal to list model m multiple times in config list",
        ),
        (
            'model_config_list { config { name: "m" base_path: "m" } }',
            "Expected model m to have an absolute path or URI; got base_path()=m",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "models.config").write_text(text)
    with pytest.raises(StatusError) as caught:
        read_config_file(tmp_path / "models.config")
    assert words in str(caught.value)


def test_platforms_are_tensorflow_and_stay_what_they_are() -> None:
    served, other = ModelEntry("m", Path("/m")), ModelEntry("m", Path("/m"), platform="other")
    check_platforms([], [served])
    check_platforms([served], [served])
    with pytest.raises(StatusError, match="INVALID_ARGUMENT: Model m requests unsupported platform other"):
        check_platforms([], [other])
    with pytest.raises(StatusError, match="For model m platform was tensorflow and new platform requested is other"):
        check_platforms([served], [other])


@given(found=st.sets(st.integers(0, 20)), latest=st.integers(1, 5), specific=st.lists(st.integers(0, 20), unique=True))
def test_policies_pick_the_newest_all_or_the_named(found: set[int], latest: int, specific: list[int]) -> None:
    folders = {version: Path(str(version)) for version in found}
    newest = list(VersionPolicy(latest).select(folders))
    assert newest == sorted(found, reverse=True)[:latest]
    assert set(VersionPolicy(None).select(folders)) == found
    named = VersionPolicy(None, tuple(specific))
    assert set(named.select(folders)) == found & set(specific)
    assert named.missing(folders) == sorted(set(specific) - found)


def test_versions_are_folders_with_integer_names(tmp_path: Path) -> None:
    for name in ("00000123", "7", "v8", "-1", ".9.part", "1.5", "٣"):
        (tmp_path / name).mkdir()
    (tmp_path / "42").write_text("a file")
    assert find_versions(tmp_path) == {7: tmp_path / "7", 123: tmp_path / "00000123"}


def test_a_folder_that_is_away_changes_nothing_and_an_empty_one_unloads(tmp_path: Path) -> None:
    said: list[tuple[str, list[int]]] = []
    source = FileSystemSource(lambda name, versions: said.append((name, list(versions))), poll_wait_s=0)
    base = tmp_path / "m"
    source.update([ModelEntry("m", base)])
    assert said == []
    (base / "1").mkdir(parents=True)
    source.poll()
    (base / "1").rmdir()
    source.poll()
    source.update([])
    assert said == [("m", [1]), ("m", []), ("m", [])]
