"""How settings are read: the variables of one class, and lists as people write them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode, SettingsConfigDict

from core.plainlists import split_list

# Lists as people write them: /data,/mnt or, for what has commas in it, JSON: ["/data"]
Paths = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(split_list)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]


def variables_of(prefix: str) -> SettingsConfigDict:
    """The configuration of a class whose variables begin with a prefix."""
    return SettingsConfigDict(env_prefix=prefix, env_file=None, env_ignore_empty=True, extra="ignore", frozen=True)
