"""models.config (TensorFlow Serving's ModelServerConfig, protobuf text format) for the models that this machine has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

STABLE = "stable"


def find_models(*folders: Path) -> dict[str, Path]:
    """Models as <folder>/<name>/<version>/saved_model.pb; a name in a later folder replaces that of an earlier one."""
    return {
        candidate.name: candidate.resolve()
        for folder in folders
        if folder.is_dir()
        for candidate in sorted(folder.iterdir())
        if list_versions(candidate)
    }


def list_versions(model: Path) -> list[int]:
    """The exported versions of one model, ascending: integer folders that hold a SavedModel."""
    if not model.is_dir():
        return []
    return sorted(int(path.name) for path in model.iterdir() if path.name.isdecimal() and (path / "saved_model.pb").is_file())


def render_config(models: Mapping[str, Path]) -> str:
    """The configuration: every version of each model is served, `stable` is the newest one at start.

    All versions stay loaded, so that a job pinned to one does not lose it when a newer one is put beside it.
    """
    return "model_config_list {\n" + "".join(_render_model(name, path) for name, path in models.items()) + "}\n"


def _render_model(name: str, path: Path) -> str:
    return (
        "  config {\n"
        f"    name: {_quoted(name)}\n"
        f"    base_path: {_quoted(str(path))}\n"
        '    model_platform: "tensorflow"\n'
        "    model_version_policy { all {} }\n"
        f'    version_labels {{ key: "{STABLE}" value: {list_versions(path)[-1]} }}\n'
        "  }\n"
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
