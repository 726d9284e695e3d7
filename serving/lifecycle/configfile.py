"""models.config: TensorFlow Serving's ModelServerConfig in protobuf text format, read, changed and written as a whole.

It is the one record of which versions are loaded and which labels they bear: a server that starts with it comes back as it was.
The version policy is `specific`, so that a version is loaded because somebody said so, and stays for as long as a job needs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from google.protobuf import text_format  # type: ignore[import-untyped, unused-ignore]

from core.errors import InvalidRequestError, NotFoundError
from serving.protos.config_pb2 import ModelConfig, ModelServerConfig
from serving.repository import ModelRepository
from serving.textformat import TextFormatError, parse_text

STABLE = "stable"
CANARY = "canary"
_PLATFORM = "tensorflow"
_HEADER = """\
# Written by DermQ (dermq up, promote, rollback, retire). It says which versions are loaded and which labels they bear, and a
# restart begins with it. All changes go through those commands: they check a version before a label reaches it.
"""


class ModelsConfig:
    """A configuration. Never changed in place: each change gives a new one, so that the old one is there to go back to."""

    def __init__(self, message: ModelServerConfig) -> None:
        self.message = message

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file.

        Raises:
            NotFoundError: it is not there.
            InvalidRequestError: it is no text-format ModelServerConfig.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise NotFoundError(
                f"no models.config at {path}: start the model server with one (`dermq up` writes it)"
            ) from error
        try:
            return cls(parse_text(text, ModelServerConfig()))
        except (TextFormatError, UnicodeDecodeError) as error:
            raise InvalidRequestError(f"{path}: expected a text-format ModelServerConfig: {error}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelsConfig) and self.message == other.message

    __hash__ = None  # type: ignore[assignment]

    def render(self) -> str:
        """The file's text."""
        text: str = text_format.MessageToString(self.message, as_utf8=True)
        return _HEADER + text

    def write(self, path: Path) -> None:
        """Replace the file in one step; its permissions stay (readable by all where it is new: a container reads it)."""
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        with part.open("w", encoding="utf-8") as file:
            file.write(self.render())
            file.flush()
            os.fsync(file.fileno())
        part.chmod(mode)
        part.replace(path)

    @property
    def models(self) -> list[str]:
        """The configured models, in their order."""
        return [each.name for each in self.message.model_config_list.config]

    def versions(self, model: str) -> tuple[int, ...] | None:
        """The versions that must be loaded, ascending; None where another policy than `specific` chooses them."""
        policy = self._entry(model).model_version_policy
        return tuple(sorted(policy.specific.versions)) if policy.WhichOneof("policy_choice") == "specific" else None

    def labels(self, model: str) -> dict[str, int]:
        """The version behind each label."""
        return dict(self._entry(model).version_labels)

    def with_model(self, model: str, base_path: str, versions: Iterable[int], labels: Mapping[str, int]) -> Self:
        """With this model as given, new or instead of what was known of it."""
        changed = self._copy()
        entry = next((each for each in changed.message.model_config_list.config if each.name == model), None)
        if entry is None:
            entry = changed.message.model_config_list.config.add(name=model)
        entry.base_path, entry.model_platform = base_path, _PLATFORM
        _set_versions(entry, versions)
        entry.version_labels.clear()
        entry.version_labels.update(labels)
        return changed

    def with_versions(self, model: str, versions: Iterable[int]) -> Self:
        """With exactly these versions of a model loaded; its labels stay."""
        changed = self._copy()
        _set_versions(changed._entry(model), versions)
        return changed

    def with_label(self, model: str, label: str, version: int | None) -> Self:
        """With a label on a version, or (None) without the label."""
        changed = self._copy()
        labels = changed._entry(model).version_labels
        labels.pop(label, None)
        if version is not None:
            labels[label] = version
        return changed

    def _entry(self, model: str) -> ModelConfig:
        entry: ModelConfig
        for entry in self.message.model_config_list.config:
            if entry.name == model:
                return entry
        raise NotFoundError(f"model {model!r} is not configured: there are {sorted(self.models)}")

    def _copy(self) -> Self:
        message = ModelServerConfig()
        message.CopyFrom(self.message)
        return type(self)(message)


def generate(repository: ModelRepository, known: ModelsConfig | None = None) -> ModelsConfig:
    """The configuration to start a server with.

    Args:
        repository: the models that are there.
        known: the configuration of the last run: its labels and loaded versions are kept, as far as their folders still exist.

    Returns:
        Every model of the repository, and no other. A model that is seen for the first time: its newest version, as `stable`.
        One whose loaded versions are all gone begins anew in the same way.
    """
    config = ModelsConfig(ModelServerConfig())
    config.message.model_config_list.SetInParent()
    for model in repository.models():
        there = [version.number for version in repository.versions(model)]
        loaded, labels = _kept(known, model, there)
        if not loaded:
            loaded, labels = [there[-1]], {STABLE: there[-1]}
        config = config.with_model(model, repository.base_path(model), loaded, labels)
    return config


def _kept(known: ModelsConfig | None, model: str, there: list[int]) -> tuple[list[int], dict[str, int]]:
    if known is None or model not in known.models:
        return [], {}
    wanted = known.versions(model)
    loaded = there if wanted is None else [number for number in wanted if number in there]
    labels = {label: number for label, number in known.labels(model).items() if number in loaded}
    if loaded and STABLE not in labels:
        labels[STABLE] = loaded[-1]  # its version was deleted: better the newest that is left than none
    return loaded, labels


def _set_versions(entry: ModelConfig, versions: Iterable[int]) -> None:
    entry.model_version_policy.Clear()
    entry.model_version_policy.specific.versions.extend(sorted(set(versions)))
