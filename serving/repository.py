"""The model repository: folders `<root>/<model>/<version>/saved_model.pb`, and what lies beside each SavedModel.

A version is published by one rename, so that a server that watches the folder never sees half of it (serving#1086), and never
changes afterwards. Which of them are loaded and labelled says the configuration of the server: serving/lifecycle/configfile.py.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from core.errors import ConflictError, InvalidRequestError, NotFoundError
from core.modelspec import ModelSpec

SAVED_MODEL = "saved_model.pb"
EXTRA = "assets.extra"
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_VERSION = 2**63 - 1  # TensorFlow Serving's versions are int64


@dataclass(frozen=True)
class ModelVersion:
    """One published version."""

    model: str
    number: int
    path: Path

    @property
    def extra(self) -> Path:
        """The folder of files that the server ignores, but for warm-up requests."""
        return self.path / EXTRA

    def spec(self) -> ModelSpec | None:
        """The spec that was exported beside the SavedModel; None where there is none.

        Raises:
            InvalidRequestError: it cannot be read.
        """
        path = self.extra / "spec.json"
        if not path.is_file():
            return None
        try:
            return ModelSpec.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise InvalidRequestError(f"{path}: expected a ModelSpec as JSON: {error}; export the model again") from error

    def check_files(self) -> None:
        """Raises InvalidRequestError if the folder is no whole SavedModel."""
        check_saved_model(self.path)


class ModelRepository:
    """Models in one or more roots; a model in a later root hides one of the same name in an earlier root."""

    def __init__(self, *roots: Path, served_root: str = "") -> None:
        """Nothing is read here.

        Args:
            roots: folders of models; new versions go into the last one. Missing ones count as empty.
            served_root: where the last root lies for the server, if that is elsewhere ("/models" in the container).
        """
        self.roots = roots
        self.root = roots[-1]
        self._served_root = served_root

    def models(self) -> dict[str, Path]:
        """The folder of each model that has a version, by name."""
        return {
            candidate.name: candidate.resolve()
            for root in self.roots
            if root.is_dir()
            for candidate in sorted(root.iterdir())
            if list_versions(candidate)
        }

    def base_path(self, model: str) -> str:
        """The model's folder as the server sees it.

        Raises:
            NotFoundError: no such model.
        """
        folder = self._folder(model)
        if self._served_root and folder.parent == self.root.resolve():
            return f"{self._served_root.rstrip('/')}/{model}"
        return str(folder)

    def versions(self, model: str) -> list[ModelVersion]:
        """The versions of a model, ascending; none of an unknown one."""
        folder = self.models().get(model)
        found = list_versions(folder) if folder else {}
        return [ModelVersion(model, number, path) for number, path in found.items()]

    def version(self, model: str, number: int) -> ModelVersion:
        """One version.

        Raises:
            NotFoundError: no such model or version.
        """
        found = list_versions(self._folder(model))
        if number not in found:
            raise NotFoundError(
                f"model {model} has no version {number} in {self._folder(model)}: it has {', '.join(map(str, found))}"
            )
        return ModelVersion(model, number, found[number])

    @contextmanager
    def new_version(self, model: str, source: Path) -> Iterator[ModelVersion]:
        """Copy an exported SavedModel in as the next version: staged for the context, published by a rename at its end.

        Args:
            model: the name to serve it under; new or known.
            source: folder of the SavedModel.

        Yields:
            The version with its number, and the path of the staged copy, to be looked at and completed.

        Raises:
            InvalidRequestError: the source is no whole SavedModel, or the name cannot be one.
            ConflictError: somebody else published the same version meanwhile.
        """
        check_name(model)
        check_saved_model(source)
        self._adopt(model)
        base = self.root / model
        base.mkdir(parents=True, exist_ok=True)
        number = max(list_versions(base), default=0) + 1
        staged = base / f".{number}.{os.getpid()}.part"
        try:
            shutil.copytree(source, staged)
            yield ModelVersion(model, number, staged)
            publish(staged, base / str(number))
        finally:
            shutil.rmtree(staged, ignore_errors=True)  # after a failure; after the rename nothing is left of it

    def _folder(self, model: str) -> Path:
        models = self.models()
        if model not in models:
            raise NotFoundError(f"no model {model!r} in {' or '.join(map(str, self.roots))}: there are {sorted(models)}")
        return models[model]

    def _adopt(self, model: str) -> None:
        """Bring a model's versions from an earlier root into the last one, which would hide them otherwise."""
        folder = self.models().get(model)
        if folder is None or folder.parent == self.root.resolve():
            return
        base = self.root / model
        base.mkdir(parents=True, exist_ok=True)
        for number, path in list_versions(folder).items():
            staged = base / f".{number}.{os.getpid()}.part"
            shutil.copytree(path, staged)
            publish(staged, base / str(number))


def check_name(model: str) -> None:
    """Raises InvalidRequestError for what cannot be the name of a model."""
    if not _MODEL_NAME.fullmatch(model):
        raise InvalidRequestError(f"expected a model name of letters, digits, '.', '_' and '-', got {model!r}")


def list_versions(model: Path) -> Mapping[int, Path]:
    """The folders of a model's versions by number, ascending: integer names (`00000123` is 123) that hold a SavedModel."""
    if not model.is_dir():
        return {}
    found = {int(path.name): path for path in sorted(model.iterdir()) if _is_version(path)}
    return dict(sorted(found.items()))


def publish(staged: Path, target: Path) -> None:
    """Make a staged version visible in one step.

    Raises:
        ConflictError: the version is there already.
    """
    if target.exists():
        raise ConflictError(f"{target}: this version is published already; versions never change, add the next one")
    staged.rename(target)


def check_saved_model(path: Path) -> None:
    """Whether a folder looks like a whole SavedModel, without TensorFlow.

    Raises:
        InvalidRequestError: something is missing, and would fail at load, or at the first request (serving#1086).
    """
    graph = path / SAVED_MODEL
    if not graph.is_file() or not graph.stat().st_size:
        raise InvalidRequestError(f"{path}: expected a SavedModel (a file {SAVED_MODEL} that is not empty); export it again")
    variables = path / "variables"
    shards = list(variables.glob("variables.data-*")) if variables.is_dir() else []
    if bool(shards) != (variables / "variables.index").is_file():
        raise InvalidRequestError(f"{variables}: expected variables.index and variables.data-* together; copy the whole folder")
    counts = {int(shard.name.rpartition("-of-")[2]) for shard in shards}
    if shards and counts != {len(shards)}:
        raise InvalidRequestError(f"{variables}: expected {max(counts)} shards, got {len(shards)}; copy the whole folder")


def _is_version(path: Path) -> bool:
    name = path.name
    return name.isascii() and name.isdigit() and int(name) <= _MAX_VERSION and (path / SAVED_MODEL).is_file()
