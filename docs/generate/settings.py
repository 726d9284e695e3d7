"""Settings, from the pydantic models of core.settings and, for Compose's own variables, from .env.example."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from core.settings import Settings
from docs.generate.markdown import code, sentence, table

ENV_EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
# Defaults that depend on the machine, in words.
COMPUTED = {
    "DERMQ_DATA_DIR": "`$XDG_DATA_HOME/dermq`, else `~/.local/share/dermq`",
    "DERMQ_WORKER_CONCURRENCY": "number of CPU cores",
}
_UNITS = {"_s": "seconds", "_days": "days", "_percent": "percent", "_bytes": "bytes", "_pixels": "pixels"}
_WORDS: dict[Any, str] = {bool: "true or false", int: "whole number", float: "number", Path: "path", str: "text"}
_SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
_LINE = re.compile(r"#?(?P<name>[A-Z][A-Z0-9_]+)=(?P<value>.*)")


def settings_section() -> str:
    """A table for each concern."""
    return "\n\n".join(_concern(model) for model in concerns())


def concerns() -> list[type[BaseSettings]]:
    """The classes of settings, in the order of core.settings.Settings."""
    return [type(getattr(Settings(), each.name)) for each in fields(Settings)]


def variables() -> dict[str, FieldInfo]:
    """Every environment variable with its field."""
    return {variable_name(model, name): field for model in concerns() for name, field in model.model_fields.items()}


def variable_name(model: type[BaseSettings], field: str) -> str:
    """`DERMQ_API_PORT` for ApiSettings' `port`."""
    return f"{model.model_config.get('env_prefix', '')}{field}".upper()


def _concern(model: type[BaseSettings]) -> str:
    prefix, _, about = (model.__doc__ or "").partition(":")
    rows = [_row(variable_name(model, name), field) for name, field in model.model_fields.items()]
    return f"## {prefix}\n\n{sentence(about.strip())}\n\n" + table(("variable", "value", "default", "what"), rows)


def _row(variable: str, field: FieldInfo) -> tuple[str, str, str, str]:
    return code(variable), _kind(variable, field), _default(variable, field), sentence(field.description or "")


def _kind(variable: str, field: FieldInfo) -> str:
    options = [each for each in get_args(field.annotation) if each is not type(None)]
    kind = options[0] if type(None) in get_args(field.annotation) else field.annotation
    unit = next((words for end, words in _UNITS.items() if variable.lower().endswith(end)), None)
    if kind is SecretStr:
        words = "text, secret"
    elif get_origin(kind) is tuple:
        words = "list of paths" if get_args(kind)[0] is Path else "list"
    else:
        words = unit if unit and kind in (int, float) else _WORDS[kind]
    bounds = [
        f"{sign} {getattr(bound, type(bound).__name__.lower())}"
        for bound in field.metadata
        for kind_of_bound, sign in _SIGNS.items()
        if isinstance(bound, kind_of_bound)
    ]
    return ", ".join([words, *bounds])


def _default(variable: str, field: FieldInfo) -> str:
    if field.default_factory is not None:
        return COMPUTED[variable]
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if value in ("", (), None):
        return "empty"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, tuple):
        return code(",".join(map(str, value)))
    if isinstance(value, int) and variable.endswith("_BYTES"):
        return f"`{value}` ({_size(value)})"
    return code(f"{value:g}" if isinstance(value, float) else value)


def _size(count: int) -> str:
    power = max(power for power in range(4) if count >= 1024**power)
    return f"{count / 1024**power:g} {('bytes', 'KiB', 'MiB', 'GiB')[power]}"


def compose_section() -> str:
    """The variables of .env.example that are no settings of DermQ's processes: Compose reads them."""
    rows: list[tuple[str, str, str]] = []
    said: list[str] = []
    for line in ENV_EXAMPLE.read_text().splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            said = [*said, line[2:]] if line.startswith("# ") and not line.startswith("# ----") else []
        else:
            if found["name"] not in variables():
                rows.append((code(found["name"]), code(found["value"]) or "empty", sentence(" ".join(said))))
            said = []
    return table(("variable", "default", "what"), rows)
