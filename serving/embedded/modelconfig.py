"""Which models are served: TensorFlow Serving's ModelServerConfig → ModelEntry, checked as `server_core.cc` checks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serving.embedded.status import StatusError, invalid_argument
from serving.embedded.textconfig import read_text
from serving.protos.config_pb2 import ModelConfig, ModelServerConfig, ModelType, ServableVersionPolicy

PLATFORM = "tensorflow"  # the only one there is


@dataclass(frozen=True)
class VersionPolicy:
    """Which of the versions in a folder are served: the newest `latest`, or all, or the `specific` ones."""

    latest: int | None = 1
    specific: tuple[int, ...] | None = None

    def select(self, found: Mapping[int, Path]) -> dict[int, Path]:
        """The versions to serve out of those found, newest first."""
        newest_first = sorted(found, reverse=True)
        if self.specific is not None:
            chosen = [version for version in newest_first if version in self.specific]
        else:
            chosen = newest_first[: self.latest]
        return {version: found[version] for version in chosen}

    def missing(self, found: Mapping[int, Path]) -> list[int]:
        """Versions asked for by number that are not there."""
        return sorted(set(self.specific or ()) - set(found))


@dataclass(frozen=True)
class ModelEntry:
    """One model of the configuration."""

    name: str
    base_path: Path
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = field(default_factory=dict)
    platform: str = PLATFORM


def read_config_file(path: Path) -> tuple[ModelEntry, ...]:
    """Parse a `--model_config_file`.

    Raises:
        StatusError: INVALID_ARGUMENT, the file is no text-format ModelServerConfig or says something that cannot be served.
        OSError: it cannot be read.
    """
    return entries_of(read_text(path, ModelServerConfig()))


def entries_of(config: ModelServerConfig) -> tuple[ModelEntry, ...]:
    """The models of a configuration.

    Raises:
        StatusError: INVALID_ARGUMENT, in TensorFlow Serving's words.
    """
    seen: set[str] = set()
    entries = []
    for each in config.model_config_list.config:
        if each.name in seen:
            raise invalid_argument(f"Illegal to list model {each.name} multiple times in config list")
        seen.add(each.name)
        if not Path(each.base_path).is_absolute():
            raise _relative(each.name, each.base_path)
        policy = _policy(each.model_version_policy)
        entries.append(ModelEntry(each.name, Path(each.base_path), policy, dict(each.version_labels), _platform(each)))
    return tuple(entries)


def check_platforms(old: Iterable[ModelEntry], new: Iterable[ModelEntry]) -> None:
    """Refuse a platform that there is not, or that a model changes to.

    Raises:
        StatusError: INVALID_ARGUMENT, in TensorFlow Serving's words.
    """
    before = {entry.name: entry.platform for entry in old}
    for entry in new:
        known = before.get(entry.name, entry.platform)
        if known != entry.platform:
            raise invalid_argument(
                f"Illegal to change a model's platform. For model {entry.name} platform was {known} "
                f"and new platform requested is {entry.platform}"
            )
        if entry.platform != PLATFORM:
            raise invalid_argument(f"Model {entry.name} requests unsupported platform {entry.platform}")


def _platform(config: ModelConfig) -> str:
    both = "ModelServerConfig::model_type (deprecated)"
    if config.model_type and config.model_platform:
        raise invalid_argument(
            f"Illegal setting both {both} and ModelServerConfig::model_platform, model name is {config.name}"
        )
    if config.model_type == ModelType.OTHER:
        raise invalid_argument(f"ModelServerConfig::model_type choice {config.model_type} not supported.")
    if not config.model_type and not config.model_platform:
        raise invalid_argument(
            f"Illegal setting neither {both} nor ModelServerConfig::model_platform, model name is {config.name}"
        )
    return PLATFORM if config.model_type else config.model_platform


def _relative(name: str, base_path: str) -> StatusError:
    return invalid_argument(f"Expected model {name} to have an absolute path or URI; got base_path()={base_path}")


def _policy(proto: ServableVersionPolicy) -> VersionPolicy:
    choice = proto.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy(latest=None)
    if choice == "specific":
        return VersionPolicy(latest=None, specific=tuple(proto.specific.versions))
    return VersionPolicy(latest=max(1, proto.latest.num_versions))
