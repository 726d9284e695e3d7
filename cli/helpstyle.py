"""One style of help: what stands for a value is a word in capitals or its choices, and a switch has none.

Typer would print the Python type: `<bool>`, `<list[str]>`, `<int range>`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

_KINDS = {int: "N", float: "X", Path: "PATH", str: "TEXT"}


def value_name(parameter: TyperArgument | TyperOption) -> str:
    """What stands for the value: the name it was given, else its choices or its kind; "" for a switch."""
    if isinstance(parameter, TyperOption) and (parameter.is_flag or "--help" in parameter.opts):
        return ""
    if parameter.metavar:
        return parameter.metavar
    kind = parameter.type_descriptor.annotation
    kind = next(iter(get_args(kind)), kind)  # list[str]: of each
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(each.value) for each in kind)
    return _KINDS.get(kind, "VALUE") if isinstance(parameter, TyperOption) else str(parameter.name).upper()


def _named(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        shown = "" if isinstance(parameter, TyperArgument) else value_name(parameter)  # an argument is called by it already
        parameter.display_type_rich = _constant(shown)
    return parameters


def _constant(text: str) -> Callable[..., str]:
    return lambda **_: text


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _named(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _named(super().get_params(ctx))


class PlainTyper(typer.Typer):
    """A Typer whose commands have help of this style, which -h shows, too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]}, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """As Typer's."""
        return super().command(name, cls=_Command, **options)
