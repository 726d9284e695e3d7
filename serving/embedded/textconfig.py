"""Text-format configuration files → messages."""

from __future__ import annotations

from pathlib import Path

from serving.embedded.status import invalid_argument
from serving.textformat import Message, TextFormatError, parse_text


def read_text(path: Path, message: Message) -> Message:
    """Parse a file into an empty message, and return it.

    Raises:
        StatusError: INVALID_ARGUMENT, the file is no text of that message.
        OSError: it cannot be read.
    """
    try:
        return parse_text(path.read_text(encoding="utf-8"), message)
    except (TextFormatError, UnicodeDecodeError) as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}': {error}") from error
