"""The directories of a TIFF file (TIFF 6.0, section 2; BigTIFF), and a new one with the entries that pixels need."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST_ENTRIES: Final = 4096
_MOST_VALUES: Final = 2**24  # of one entry: strips of the largest picture that is decoded


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its values, not yet interpreted. `raw` is None where they lie behind the end of the file."""

    kind: int
    count: int
    raw: bytes | None


class Directories:
    """Reads a file's directories. `order` is struct's sign of its byte order."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.is_big = data[2:4] in (b"+\0", b"\0+")

    def first(self) -> int:
        """Where the first directory lies."""
        return self._number(self.data[8:16] if self.is_big else self.data[4:8])

    def read(self, at: int) -> tuple[dict[int, Entry], int]:
        """The entries of a directory by their tags, and where the next one lies. Entries of unknown types are left out."""
        words, width = (8, 20) if self.is_big else (2, 12)
        if at < 8 or at + words > len(self.data):
            return {}, 0
        stored = self._number(self.data[at : at + words])
        count = min(stored, _MOST_ENTRIES, (len(self.data) - at - words) // width)
        found: dict[int, Entry] = {}
        for n in range(count):
            start = at + words + n * width
            tag, kind = struct.unpack(f"{self.order}HH", self.data[start : start + 4])
            if kind in _SIZES and tag not in found:
                found[tag] = self._entry(kind, self.data[start + 4 : start + width])
        end = at + words + stored * width
        return found, self._number(self.data[end : end + (8 if self.is_big else 4)])

    def values(self, entry: Entry | None) -> tuple[int, ...]:
        """The entry's integers; empty where there are none."""
        if entry is None or entry.raw is None or entry.kind not in _INTEGERS:
            return ()
        return struct.unpack(f"{self.order}{entry.count}{_INTEGERS[entry.kind]}", entry.raw)

    def fractions(self, entry: Entry | None) -> tuple[float, ...]:
        """The entry's rational numbers; empty where there are none."""
        if entry is None or entry.raw is None or entry.kind not in (5, 10):
            return ()
        numbers = struct.unpack(f"{self.order}{2 * entry.count}{'I' if entry.kind == 5 else 'i'}", entry.raw)
        return tuple(a / b if b else 0.0 for a, b in zip(numbers[::2], numbers[1::2], strict=True))

    def with_directory(self, entries: dict[int, Entry]) -> bytes:
        """The file with one directory of these entries, appended, as its first and only one."""
        word = "Q" if self.is_big else "I"
        inline = struct.calcsize(f"={word}")
        base = len(self.data) + (len(self.data) & 1)
        table, values = b"", b""
        size = (8 if self.is_big else 2) + len(entries) * (20 if self.is_big else 12) + inline
        for tag, entry in sorted(entries.items()):
            raw = entry.raw or b""
            if len(raw) > inline:
                place = struct.pack(f"{self.order}{word}", base + size + len(values))
                values += raw + bytes(len(raw) & 1)
            else:
                place = raw.ljust(inline, b"\0")
            table += struct.pack(f"{self.order}HH{word}", tag, entry.kind, entry.count) + place
        count = struct.pack(f"{self.order}{'Q' if self.is_big else 'H'}", len(entries))
        start = struct.pack(f"{self.order}{word}", base)
        head = self.data[:8] + start if self.is_big else self.data[:4] + start
        return b"".join((head, self.data[len(head) :], bytes(len(self.data) & 1), count, table, bytes(inline), values))

    def _entry(self, kind: int, rest: bytes) -> Entry:
        half = len(rest) // 2
        count, place = self._number(rest[:half]), rest[half:]
        size = count * _SIZES[kind]
        if count > _MOST_VALUES:
            return Entry(kind, 0, None)
        if size <= half:
            return Entry(kind, count, place[:size])
        at = self._number(place)
        return Entry(kind, count, self.data[at : at + size] if at + size <= len(self.data) else None)

    def _number(self, raw: bytes) -> int:
        return int.from_bytes(raw, "little" if self.order == "<" else "big")
