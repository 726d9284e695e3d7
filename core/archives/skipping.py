"""Which members are nobody's images: counted, without a row. Every other member gets its row, duplicates too."""

from __future__ import annotations

import re

# Folders and files that macOS, Windows, KDE and Synology leave behind, in whatever case.
_FOLDERS = (
    "__MACOSX",
    r"\.AppleDouble",
    r"\.Spotlight-V100",
    r"\.Trashes",
    r"\.fseventsd",
    r"\.TemporaryItems",
    r"\.DocumentRevisions-V100",
    r"\$RECYCLE\.BIN",
    "System Volume Information",
    "@eaDir",
)
_FILES = (
    r"\._[^/\\]*",  # AppleDouble: resource forks
    r"\.DS_Store",
    r"\.localized",
    r"\.directory",
    r"Icon\r",
    r"Thumbs\.db",
    r"ehthumbs(?:_vista)?\.db",
    r"desktop\.ini",
)
_LITTER = re.compile(rf"(?:\A|[/\\])(?:(?:{'|'.join(_FOLDERS)})(?:[/\\]|\Z)|(?:{'|'.join(_FILES)})\Z)", re.IGNORECASE)


def is_skipped(name: str) -> bool:
    """Whether a member of that name is passed over: a directory, an unnamed entry, or litter of an operating system."""
    return not name or name[-1] == "/" or is_litter(name)


def is_litter(name: str) -> bool:
    """Whether an operating system has left this file or folder behind."""
    return _LITTER.search(name) is not None
