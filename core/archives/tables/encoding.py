"""The character encoding of a table: by its byte order mark, by its NUL bytes, else UTF-8 with an 8-bit encoding as fallback.

Tables in an 8-bit encoding are read as UTF-8 with surrogate escapes (PEP 383). Delimiters, quotes and line ends are ASCII in
each of these encodings, so the rows are cut in the same places; each cell that is no UTF-8 is then decoded by itself. So a list
that mixes encodings is read, too, and a file name that is no UTF-8 on the disk is still found by its bytes.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.errors import ArchiveError
from core.storage.base import RandomAccess

_READ_BYTES = 1024 * 1024
_SURVEY_BYTES = 16 * 1024 * 1024  # of an 8-bit table that are looked at to tell Windows from Macintosh
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: it begins with that mark
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_TEXT_CONTROLS = frozenset(b"\t\n\v\f\r")
_DOS_END = b"\x1a"  # Ctrl-Z, which ends text files of DOS programs
# Other 8-bit encodings in which a file name may be written: Macintosh, Excel's "CSV (MS-DOS)", Latin-1, Central Europe.
FALLBACKS = ("cp1252", "mac_roman", "cp850", "cp437", "latin-1", "cp1250")


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """How the bytes of a table are turned to text."""

    name: str  # of Python's codec
    mark_bytes: int = 0  # length of the byte order mark
    fallback: str = "cp1252"  # for cells that are no UTF-8

    @property
    def errors(self) -> str:
        """The error handler: UTF-8 keeps odd bytes as surrogate escapes, UTF-16 and UTF-32 are strict."""
        return "surrogateescape" if self.name == "utf-8" else "strict"


def sniff_encoding(head: bytes) -> TextEncoding | None:
    """The encoding of a text that begins with these bytes; None if they are no text (NUL bytes, control characters)."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return TextEncoding(name, len(mark))
    if b"\0" in head:
        name = _utf16_by_nuls(head)
        return TextEncoding(name) if name else None
    if any(byte < 32 and byte not in _TEXT_CONTROLS for byte in head.removesuffix(_DOS_END)):
        return None
    return TextEncoding("utf-8")


def _utf16_by_nuls(head: bytes) -> str:
    """UTF-16 without a mark: Latin text has a NUL as one byte of nearly each pair, and never as the other."""
    pairs = max(len(head) // 2, 1)
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if not even and odd > pairs / 2:
        return "utf-16-le"
    if not odd and even > pairs / 2:
        return "utf-16-be"
    return ""


def decode_head(head: bytes) -> str | None:
    """The first bytes of a file as text, without an incomplete last character; None if they are no text."""
    encoding = sniff_encoding(head)
    if encoding is None:
        return None
    decoder = codecs.getincrementaldecoder(encoding.name)(encoding.errors)
    try:
        text = decoder.decode(head[encoding.mark_bytes :])
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def find_encoding(access: RandomAccess) -> TextEncoding:
    """The encoding of a whole file.

    Raises:
        ArchiveError: it is no text.
        StorageUnavailableError: its place does not answer.
    """
    head = access.read_at(0, 4096)
    encoding = sniff_encoding(head)
    if encoding is None:
        what = "NUL bytes" if b"\0" in head else "control characters"
        raise ArchiveError(f"expected a table as text, got a file with {what}: save it as CSV in UTF-8")
    if encoding.name != "utf-8":
        return encoding
    return TextEncoding("utf-8", encoding.mark_bytes, _find_fallback(access))


def _find_fallback(access: RandomAccess) -> str:
    """cp1252 or mac_roman for the bytes that are no UTF-8.

    Macintosh programs end lines by CR alone, and their common letters lie where cp1252 has signs, capitals or nothing.
    """
    counts = [0] * 256
    feeds = 0
    for start in range(0, min(access.size, _SURVEY_BYTES), _READ_BYTES):
        block = access.read_at(start, _READ_BYTES)
        feeds += block.count(b"\n")
        if not block.isascii():
            for byte in set(block):
                if byte >= 0x80:
                    counts[byte] += block.count(byte)
    if not any(counts):
        return "cp1252"
    if not feeds:
        return "mac_roman"
    return "mac_roman" if _letters(counts, "mac_roman") > _letters(counts, "cp1252") else "cp1252"


def _letters(counts: list[int], encoding: str) -> int:
    """How many of the bytes are letters of Western Europe in an encoding."""
    total = 0
    for byte in range(0x80, 0x100):
        character = bytes([byte]).decode(encoding, "replace")
        if counts[byte] and "À" <= character <= "ÿ" and character.isalpha():
            total += counts[byte]
    return total


def decode_cell(cell: str, fallback: str) -> str:
    """A cell without surrogate escapes: bytes that are no UTF-8 are decoded by the fallback, else by Latin-1."""
    if cell.isascii() or not _has_escapes(cell):
        return cell
    raw = cell.encode("utf-8", "surrogateescape")
    try:
        return raw.decode(fallback)
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def spellings(cell: str) -> list[str]:
    """What a cell with bytes that are no UTF-8 may mean: those bytes as a name, then the text in each 8-bit encoding."""
    if not _has_escapes(cell):
        return [cell]
    raw = cell.encode("utf-8", "surrogateescape")
    found = [cell]
    for encoding in FALLBACKS:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if text not in found:
            found.append(text)
    return found


def has_odd_bytes(cells: Iterable[str]) -> bool:
    """Whether any of the cells has bytes that are no UTF-8."""
    return any(not cell.isascii() and _has_escapes(cell) for cell in cells)


def _has_escapes(text: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in text)


def read_lines(access: RandomAccess, encoding: TextEncoding, max_characters: int) -> Iterator[str]:
    """The lines of a text with their ends (CR, LF or CR LF), in constant memory.

    Args:
        access: the file; stays open.
        encoding: of the file.
        max_characters: limit for one line.

    Raises:
        ArchiveError: a line is longer than the limit, holds NUL characters, or does not keep to its encoding.
        StorageUnavailableError: its place does not answer.
    """
    raw = io.BufferedReader(_RawReader(access, encoding.mark_bytes), _READ_BYTES)
    text = io.TextIOWrapper(raw, encoding=encoding.name, errors=encoding.errors, newline="")
    try:
        while line := text.readline(max_characters):
            if len(line) >= max_characters:
                raise ArchiveError(f"expected a table with lines of fewer than {max_characters:,} characters, got a longer one")
            if "\0" in line:
                raise ArchiveError("expected a table as text, got a file with NUL bytes: save it as CSV in UTF-8")
            if line != _DOS_END.decode():
                yield line
    except UnicodeDecodeError as error:
        raise ArchiveError(f"the table is no valid {encoding.name}: {error.reason}; save it as CSV in UTF-8") from error


class _RawReader(io.RawIOBase):
    """A RandomAccess as a file for the standard library; does not close it."""

    def __init__(self, access: RandomAccess, position: int) -> None:
        self._access = access
        self._position = position

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._access.read_at(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
