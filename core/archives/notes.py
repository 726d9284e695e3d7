"""What a user should know of an archive as a whole, beside the rows of its members: stable codes, counts, one sentence each.

A note is no failure. It says that something of the archive was passed over, guessed or read on, so that nothing gets lost
without a word. Notes of unpacking come from `prepare_archive`, notes of the listing from `Archive.notes` after `members()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class ArchiveNote(StrEnum):
    """Stable codes. The comment says what the count of a note counts."""

    LEADING_BYTES = "leading_bytes"  # bytes before the archive
    TRAILING_BYTES = "trailing_bytes"  # bytes behind the archive
    ARCHIVES_JOINED = "archives_joined"  # further archives in the same file, read on
    LONE_ZERO_BLOCKS = "lone_zero_blocks"  # TAR: single blocks of zeros between members
    END_MISSING = "end_missing"  # TAR: files without an end marker (1)
    ARCHIVE_CUT = "archive_cut"  # bytes that the last entry claims and the file lacks
    ENTRIES_SKIPPED = "entries_skipped"  # files that an operating system left behind, volume labels
    LINKS_SKIPPED = "links_skipped"  # links to folders, not followed
    NAMES_NORMALISED = "names_normalised"  # names whose backslashes became slashes
    NAMES_GUESSED = "names_guessed"  # names in no declared encoding, read as code page 437
    ROWS_WITHOUT_PATH = "rows_without_path"  # table: rows whose cell of the path column is empty
    FILES_MATCHED = "files_matched"  # table: rows whose file is written otherwise: another case, suffix or folder
    CELLS_GUESSED = "cells_guessed"  # table: rows with cells that are no UTF-8


_TEXTS = {
    ArchiveNote.LEADING_BYTES: "{count:,} bytes stand before the archive, as in self-extracting files; they were not read.",
    ArchiveNote.TRAILING_BYTES: "{count:,} bytes follow the end of the archive; they were not read.",
    ArchiveNote.ARCHIVES_JOINED: "{count:,} more archives follow the first one in the same file; their members were read, too.",
    ArchiveNote.LONE_ZERO_BLOCKS: "{count:,} lone blocks of zeros stand between members; the members behind them were read.",
    ArchiveNote.END_MISSING: "The archive has no end marker; if it was cut off between two members, the rest is missing.",
    ArchiveNote.ARCHIVE_CUT: "The archive ends {count:,} bytes before its last entry does; what came behind is missing.",
    ArchiveNote.ENTRIES_SKIPPED: "{count:,} entries that an operating system or an archiver adds were skipped.",
    ArchiveNote.LINKS_SKIPPED: "{count:,} links to folders were skipped; links are not followed.",
    ArchiveNote.NAMES_NORMALISED: "{count:,} names were written with backslashes; they are shown with slashes.",
    ArchiveNote.NAMES_GUESSED: "{count:,} names are in no declared encoding; they were read as code page 437.",
    ArchiveNote.ROWS_WITHOUT_PATH: "{count:,} rows of the table name no image; they were skipped.",
    ArchiveNote.FILES_MATCHED: "{count:,} rows name files that differ in case, suffix or folder; each was the only one alike.",
    ArchiveNote.CELLS_GUESSED: "{count:,} rows hold text that is no UTF-8; it was read as that of Windows or Macintosh.",
}


@dataclass(frozen=True, slots=True)
class Note:
    """One note: its code, how many (see ArchiveNote), the first thing it was about ("" if none)."""

    code: ArchiveNote
    count: int
    example: str = ""

    @property
    def text(self) -> str:
        """One sentence for people, and an example."""
        sentence = _TEXTS[self.code].format(count=self.count)
        return f"{sentence[:-1]} (for example {self.example[:200]!r})." if self.example else sentence

    def to_json(self) -> dict[str, Any]:
        """{"code", "count", "text"}; text is ASCII-safe where names are no UTF-8."""
        text = self.text.encode("utf-8", "backslashreplace").decode()
        return {"code": str(self.code), "count": self.count, "text": text}


class Notes:
    """Collects notes; counts of one code add up, the first example stays."""

    def __init__(self) -> None:
        self._notes: dict[ArchiveNote, Note] = {}

    def add(self, code: ArchiveNote, count: int = 1, example: str = "") -> None:
        """Count something; nothing happens for a count of 0."""
        if count <= 0:
            return
        known = self._notes.get(code)
        if known is not None:
            count, example = known.count + count, known.example or example
        self._notes[code] = Note(code, count, example)

    def extend(self, notes: Iterable[Note]) -> Self:
        """Add all of another collector's notes."""
        for note in notes:
            self.add(note.code, note.count, note.example)
        return self

    def clear(self) -> None:
        """Start again, as a listing does."""
        self._notes.clear()

    def __iter__(self) -> Iterator[Note]:
        """In the order of ArchiveNote."""
        return iter([self._notes[code] for code in ArchiveNote if code in self._notes])

    def __len__(self) -> int:
        return len(self._notes)

    def __getitem__(self, code: ArchiveNote) -> int:
        """The count of a code; 0 without such a note."""
        return self._notes[code].count if code in self._notes else 0

    def to_json(self) -> list[dict[str, Any]]:
        """What is stored with a job and shown by API and CLI."""
        return [note.to_json() for note in self]
