"""Text-format configuration files → messages."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format  # type: ignore[import-untyped, unused-ignore]

from serving.embedded.status import invalid_argument

Message = TypeVar("Message")


def read_text(path: Path, message: Message) -> Message:
    """Parse a file into an empty message, and return it.

    Raises:
        StatusError: INVALID_ARGUMENT, the file is no text of that message.
        OSError: it cannot be read.
    """
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except text_format.ParseError as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}': {error}") from error
    return message
