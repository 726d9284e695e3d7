"""Protobuf text format → messages, with TensorFlow Serving's names in what is said of a mistake."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf import text_format  # type: ignore[import-untyped, unused-ignore]

Message = TypeVar("Message")

_OWN_PACKAGE, _OFFICIAL = "dermq.wire.", "tensorflow.serving."
_NESTED = {"ServableVersionPolicy": "FileSystemStoragePathSourceConfig.ServableVersionPolicy"}  # nested in the original


class TextFormatError(ValueError):
    """The text is none of its message. Names the message, line and column."""


def parse_text(text: str, message: Message) -> Message:
    """Parse text into an empty message, and return it.

    Raises:
        TextFormatError: it is no text of that message.
    """
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        name = _official(str(message.DESCRIPTOR.full_name))  # type: ignore[attr-defined]
        raise TextFormatError(f"Error parsing text-format {name}: {_official(str(error))}") from error
    return message


def _official(words: str) -> str:
    """DermQ's own names of the messages (serving.protos says why there are such) → those that documentation and files use."""
    for own, official in _NESTED.items():
        words = words.replace(f"{_OWN_PACKAGE}{own}", f"{_OFFICIAL}{official}")
    return words.replace(_OWN_PACKAGE, _OFFICIAL)
