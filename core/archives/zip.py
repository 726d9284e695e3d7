"""ZIP files: members from the central directory, each read by one range and unpacked within its declared size."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from functools import cache

from isal import isal_zlib

from core.archives import inflate
from core.archives.base import Member
from core.archives.notes import ArchiveNote, Notes
from core.archives.ranges import read_member_range
from core.archives.screening import Problem, name_problem, size_problem
from core.archives.skipping import is_litter
from core.archives.zip_directory import Directory, Entry, find_directory, read_entries, settle_shift
from core.archives.zip_local import LOCAL_BYTES, check_local, data_start
from core.archives.zip_names import FLAG_UTF8, UNICODE_PATH_MARK, member_name
from core.archives.zip_overlap import Overlaps
from core.errors import ArchiveError, ItemError, ItemErrorCode
from core.storage.base import RandomAccess

_FLAG_ENCRYPTED = 0x0001 | 0x0040 | 0x2000  # traditional, strong, masked headers
_FLAG_PATCH = 0x0020
_SLACK = 128  # for a local extra field, so that header and data come with one read
_UNPACKED_GROWTH = 64 * 1024  # packed bytes may exceed the unpacked ones by a little, never by much
_MAX_BEHIND = 8 * 1024 * 1024  # bytes after the archive within which its end is looked for


class ZipArchive:
    """Random access to the members of a ZIP file."""

    def __init__(self, access: RandomAccess, max_bytes: int) -> None:
        """Reads nothing yet.

        Args:
            access: the file; closed with the archive.
            max_bytes: limit for one unpacked member.
        """
        self._access = access
        self._max_bytes = max_bytes
        self._skipped = 0
        self._notes = Notes()

    @property
    def skipped(self) -> int:
        """Members passed over by members() so far."""
        return self._skipped

    @property
    def notes(self) -> Notes:
        """What members() has found worth a note so far."""
        return self._notes

    def members(self) -> Iterator[Member]:
        """All members in the order of the central directory.

        Raises:
            ArchiveError: the directory is missing, damaged or inconsistent.
        """
        self._skipped = 0
        self._notes.clear()
        directory = settle_shift(self._access, self._find_directory())
        places = _Places(self._access, directory)
        for entry in read_entries(self._access, directory):
            start, end = entry.offset, entry.offset + LOCAL_BYTES + entry.packed_size
            in_order = places.reach <= start and end <= directory.start
            if in_order:
                places.reach = end
            name, stored = self._name(entry)
            if self._passes_over(entry, name):
                continue
            problem = self._problem(entry, name) or (None if in_order else places.problem(entry, end))
            code, text = problem or (None, "")
            yield Member(name, start, entry.packed_size, entry.size, entry.method, entry.crc32, code, text, stored)
        self._note_surroundings(directory)

    def _find_directory(self) -> Directory:
        try:
            return find_directory(self._access)
        except ArchiveError as error:
            try:
                return find_directory(self._access, _MAX_BEHIND)
            except ArchiveError:
                raise error from None

    def _passes_over(self, entry: Entry, name: str) -> bool:
        """Whether it is a folder or litter. A folder's name with data behind it gets its row."""
        if not _is_folder(entry, name):
            if name and not is_litter(name):
                return False
            self._notes.add(ArchiveNote.ENTRIES_SKIPPED, example=name)
        self._skipped += 1
        return True

    def _name(self, entry: Entry) -> tuple[str, str | None]:
        """The name, and the directory's own bytes where they are not simply its UTF-8; notes what was turned or guessed."""
        raw = entry.name
        if b"\\" not in raw:  # nearly all names: nothing to turn, nothing to guess
            if entry.flags & FLAG_UTF8:
                return raw.decode("utf-8", "surrogateescape"), None
            if raw.isascii() and UNICODE_PATH_MARK not in entry.extra:
                return raw.decode(), None
        name = member_name(raw, entry.flags, entry.extra, entry.host)
        if name.plain:
            return name.text, None
        if name.turned:
            self._notes.add(ArchiveNote.NAMES_NORMALISED, example=name.text)
        elif name.guessed:
            self._notes.add(ArchiveNote.NAMES_GUESSED, example=name.text)
        return name.text, raw.decode("latin-1")

    def _note_surroundings(self, directory: Directory) -> None:
        if not self._access.read_at(0, 4).startswith(b"PK"):  # else a member, or the mark of what once was a split archive
            lowest = (entry.offset for entry in read_entries(self._access, directory))
            self._notes.add(ArchiveNote.LEADING_BYTES, directory.shift or min(lowest, default=0))
        behind = self._access.size - directory.end
        if behind > 0 and self._access.read_at(directory.end, behind).strip(b"\0"):  # zeros are padding, as bsdtar writes it
            self._notes.add(ArchiveNote.TRAILING_BYTES, behind)

    def _problem(self, entry: Entry, name: str) -> Problem | None:
        kind = stat.S_IFMT(entry.attributes >> 16)
        if kind not in (0, stat.S_IFREG):
            return ItemErrorCode.UNSAFE_PATH, "expected a regular file, got a link or a device"
        if name.endswith("/"):
            return ItemErrorCode.UNSAFE_PATH, f"expected a file, got a folder's name with {entry.size:,} bytes: pack it again"
        return name_problem(name) or size_problem(entry.size, self._max_bytes) or self._packing_problem(entry)

    def _packing_problem(self, entry: Entry) -> Problem | None:
        if entry.flags & _FLAG_ENCRYPTED or entry.method == inflate.AES:
            return ItemErrorCode.ENCRYPTED, "encrypted: pack the archive again without a password"
        if entry.flags & _FLAG_PATCH or not _supports(entry.method):
            what = "patched data" if entry.flags & _FLAG_PATCH else f"compression method {inflate.method_name(entry.method)}"
            return ItemErrorCode.UNSUPPORTED_FORMAT, f"{what} cannot be unpacked: pack the archive again with Deflate"
        if entry.packed_size > self._max_bytes + _UNPACKED_GROWTH:
            return (
                ItemErrorCode.TOO_LARGE,
                f"{entry.packed_size:,} packed bytes, the limit for one image is {self._max_bytes:,}",
            )
        return None

    def read(self, member: Member) -> bytes:
        """The member's bytes, checked against its CRC-32.

        Raises:
            ItemError: what the listing already knew, or truncated, damaged, of another size than declared.
            StorageUnavailableError: the bytes cannot be reached now.
        """
        if member.error is not None:
            raise ItemError(member.error, member.error_text)
        raw = inflate.unpack(member.method, self._packed(member), member.size)
        if member.crc32 is not None and (found := isal_zlib.crc32(raw)) != member.crc32:
            raise ItemError(ItemErrorCode.BAD_CHECKSUM, f"expected CRC-32 {member.crc32:08x}, got {found:08x}: damaged")
        return raw

    def _packed(self, member: Member) -> bytes:
        wanted = LOCAL_BYTES + len(member.raw_name) + _SLACK + member.packed_size
        block = read_member_range(self._access, member, member.offset, wanted)
        start = data_start(block, member)
        end = start + member.packed_size
        if end > len(block):
            block += read_member_range(self._access, member, member.offset + len(block), end - len(block))
        check_local(block[:start], member)
        if end > len(block):
            raise ItemError(ItemErrorCode.TRUNCATED, f"the archive ends {end - len(block):,} bytes before the member does")
        return block[start:end]

    def close(self) -> None:
        """Release the file."""
        self._access.close()


@cache
def _supports(method: int) -> bool:
    return inflate.supports(method)


def _is_folder(entry: Entry, name: str) -> bool:
    """Folders as Unix and Windows tools mark them; none holds data."""
    if entry.size:
        return False
    return name.endswith(("/", "\\")) or stat.S_ISDIR(entry.attributes >> 16) or bool(entry.attributes & 0x10)


class _Places:
    """Where the entries lie: each behind the one before it and before the directory, or there is a question."""

    def __init__(self, access: RandomAccess, directory: Directory) -> None:
        self._access = access
        self._directory = directory
        self._overlaps: Overlaps | None = None
        self.reach = 0  # the end of all entries so far that came in order

    def problem(self, entry: Entry, end: int) -> Problem | None:
        """What is wrong with the place of an entry that does not come in order.

        Args:
            entry: the entry.
            end: no later than where its bytes end: as if its local header had no name and no extra field, which may differ.
        """
        if end > self._access.size:
            missing = end - self._access.size
            return ItemErrorCode.TRUNCATED, f"the archive ends {missing:,} bytes before this member does: upload it again"
        if end > self._directory.start:
            text = f"its bytes reach {end - self._directory.start:,} bytes into the archive's directory: damaged, pack it again"
            return ItemErrorCode.BAD_CHECKSUM, text
        self._overlaps = self._overlaps or Overlaps(self._all())
        if entry.packed_size and self._overlaps.at(entry.offset):
            text = "its bytes overlap with those of another entry, as in a bomb or a damaged archive: pack it again"
            return ItemErrorCode.BAD_CHECKSUM, text
        return None

    def _all(self) -> Iterator[tuple[int, int]]:
        for entry in read_entries(self._access, self._directory):
            end = entry.offset + LOCAL_BYTES + entry.packed_size
            if entry.packed_size and end <= self._directory.start:
                yield entry.offset, end
