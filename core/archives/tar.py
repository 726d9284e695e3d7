"""Plain TAR files: headers in a stream, members by offset. Compressed ones are made plain first, see compressed.py.

Names and sizes may come from pax records or GNU long names before the member. Sparse files are a coded failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from core.archives.base import Member
from core.archives.notes import ArchiveNote, Notes
from core.archives.ranges import read_member_range
from core.archives.screening import Problem, name_problem, size_problem
from core.archives.skipping import is_litter
from core.archives.tar_header import (
    ACL,
    BLOCK,
    FOLDER,
    FOLDER_DUMP,
    LABEL,
    LINKS_AND_DEVICES,
    LONG_LINK,
    LONG_NAME,
    MULTIVOLUME,
    PAX,
    PAX_GLOBAL,
    PAX_SOLARIS,
    SPARSE,
    WITHOUT_DATA,
    ZEROS,
    Header,
    HeaderError,
    is_header,
    parse_header,
    parse_pax,
)
from core.errors import ArchiveError, ItemError, ItemErrorCode
from core.storage.base import RandomAccess

_MAX_METADATA_BYTES = 1024 * 1024  # one long name or set of pax records
_MAX_METADATA_RUN = 64  # of them before one member
_METADATA = (LONG_NAME, LONG_LINK, PAX, PAX_SOLARIS)  # each says something of the next member
_ZEROS_AT_ONCE = 1024 * 1024
_SPARSE_CONTINUES = 482  # byte of a GNU sparse header: another block of the map follows
_SPARSE_CONTINUES_AGAIN = 504  # the same in such a block


@dataclass(slots=True)
class _Overrides:
    """What extended headers say of the next member; `everywhere` holds for all that follow."""

    everywhere: dict[str, bytes] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)
    long_name: bytes | None = None

    def get(self, keyword: str) -> bytes | None:
        return self.records.get(keyword, self.everywhere.get(keyword))

    @property
    def sparse(self) -> bool:
        return any(keyword.startswith("GNU.sparse.") for keyword in self.records)


class TarArchive:
    """Random access to the members of an uncompressed TAR file."""

    def __init__(self, access: RandomAccess, max_bytes: int) -> None:
        """Reads nothing yet.

        Args:
            access: the file; closed with the archive.
            max_bytes: limit for one member.
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
        """All members in archive order, those of further archives in the same file too, as `tar --ignore-zeros` reads them.

        One that the file cuts off is yielded as TRUNCATED, and is the last.

        Raises:
            ArchiveError: a header is damaged, or the file ends within one.
        """
        self._skipped = 0
        self._notes.clear()
        position, count = 0, 0
        everywhere: dict[str, bytes] = {}
        while (found := self._next_header(position, count, everywhere)) is not None:
            header, overrides, data_start = found
            size = _size(header, overrides, data_start)
            name = _name(header, overrides)
            count += 1
            end = data_start + size
            if header.kind in WITHOUT_DATA and not self._has_data(size, data_start):
                end = data_start
            if end > self._access.size:
                self._notes.add(ArchiveNote.ARCHIVE_CUT, end - self._access.size)
            if not self._passes_over(header, name, size):
                code, text = self._problem(header, overrides, name, size, data_start) or (None, "")
                yield Member(name, data_start, size, size, error=code, error_text=text)
            position = data_start + _padded(end - data_start)

    def _next_header(self, position: int, count: int, everywhere: dict[str, bytes]) -> tuple[Header, _Overrides, int] | None:
        """The next member's header, what extended headers add to it, and the offset of its data; None at the end."""
        overrides = _Overrides(everywhere)
        orphan = -1
        for _ in range(_MAX_METADATA_RUN):
            header, start = self._read_header(position, count)
            if start != position:
                everywhere.clear()  # what one archive says holds for no other
            if orphan >= 0 and (header is None or start != position):
                raise ArchiveError(
                    f"the extended header at byte {orphan:,} of the TAR has no member behind it: damaged or cut off"
                )
            if header is None:
                return None
            position = start + BLOCK
            if header.kind == PAX_GLOBAL:
                everywhere |= _wanted(self._records(position, header.size))
            elif header.kind in _METADATA:
                orphan = start
                self._read_metadata(header, position, overrides)
            else:
                return header, overrides, self._skip_sparse_map(header, position)
            position += _padded(header.size)
        raise ArchiveError(f"more than {_MAX_METADATA_RUN} extended headers before byte {position:,} of the TAR: damaged")

    def _read_metadata(self, header: Header, position: int, overrides: _Overrides) -> None:
        if header.kind == LONG_NAME:
            overrides.long_name = self._metadata(position, header.size).partition(b"\0")[0]
        elif header.kind == LONG_LINK:
            self._metadata(position, header.size)  # of no use, but it must be there for what follows to be found
        else:
            overrides.records |= self._records(position, header.size)

    def _read_header(self, position: int, count: int) -> tuple[Header | None, int]:
        """The header at a position or behind the zeros there, and where it is; None at the end of the archive."""
        block = self._access.read_at(position, BLOCK)
        start = position
        if block == ZEROS:
            start = self._skip_zeros(position)
            block = self._access.read_at(start, BLOCK)
            if not block:
                return None, start
        elif len(block) < BLOCK:
            if not block.strip(b"\0"):
                if count and not self._notes[ArchiveNote.ARCHIVE_CUT]:
                    self._notes.add(ArchiveNote.END_MISSING)
                return None, start
            raise ArchiveError(f"the TAR ends within a header, after {count:,} members: it is cut off, upload it again")
        try:
            header = parse_header(block)
        except HeaderError as error:
            if start == position:
                raise ArchiveError(f"damaged TAR header at byte {position:,}, after {count:,} members: {error}") from error
            self._notes.add(ArchiveNote.TRAILING_BYTES, self._access.size - start)
            return None, start
        if start != position:
            lone = start - position == BLOCK
            self._notes.add(ArchiveNote.LONE_ZERO_BLOCKS if lone else ArchiveNote.ARCHIVES_JOINED)
        return header, start

    def _skip_zeros(self, position: int) -> int:
        """The first block behind a run of zeros, or the end of the file where zeros are all that is left."""
        while piece := self._access.read_at(position, _ZEROS_AT_ONCE):
            if rest := piece.lstrip(b"\0"):
                return position + (len(piece) - len(rest)) // BLOCK * BLOCK
            position += len(piece)
        return self._access.size

    def _has_data(self, size: int, data_start: int) -> bool:
        """Whether bytes follow the header of a link, device or folder. By most rules there are none, whatever the size says.

        Some store a link's file (POSIX 2001, "-o linkdata"), so what follows decides: a header, the end marker or the end.
        """
        if size == 0 or self._goes_on_at(data_start):
            return False
        return self._goes_on_at(data_start + _padded(size))

    def _goes_on_at(self, position: int) -> bool:
        if position >= self._access.size:
            return position == self._access.size
        block = self._access.read_at(position, BLOCK)
        return block == ZEROS or is_header(block)

    def _passes_over(self, header: Header, name: str, size: int) -> bool:
        """Whether it is a folder, a label, access rights or litter. A file with a folder's name gets its row."""
        folder = header.kind in (FOLDER, FOLDER_DUMP) or (name[-1:] == "/" and size == 0)
        if not folder:
            if header.kind not in (LABEL, ACL) and name and not is_litter(name):
                return False
            self._notes.add(ArchiveNote.ENTRIES_SKIPPED, example=name)
        self._skipped += 1
        return True

    def _records(self, position: int, size: int) -> dict[str, bytes]:
        try:
            return parse_pax(self._metadata(position, size))
        except HeaderError as error:
            raise ArchiveError(f"damaged pax header at byte {position:,} of the TAR: {error}") from error

    def _metadata(self, position: int, size: int) -> bytes:
        if size > _MAX_METADATA_BYTES:
            raise ArchiveError(f"an extended TAR header claims {size:,} bytes, the limit is {_MAX_METADATA_BYTES:,}: damaged")
        data = self._access.read_at(position, size)
        if len(data) < size:
            raise ArchiveError(f"the TAR ends within an extended header at byte {position:,}: it is cut off")
        return data

    def _skip_sparse_map(self, header: Header, position: int) -> int:
        if header.kind == SPARSE:
            place = _SPARSE_CONTINUES - BLOCK
            while self._access.read_at(position + place, 1) not in (b"", b"\0"):
                position += BLOCK
                place = _SPARSE_CONTINUES_AGAIN - BLOCK
        return position

    def _problem(self, header: Header, overrides: _Overrides, name: str, size: int, data_start: int) -> Problem | None:
        if header.kind in LINKS_AND_DEVICES:
            return ItemErrorCode.UNSAFE_PATH, "expected a regular file, got a link or a device"
        if header.kind in (SPARSE, MULTIVOLUME) or overrides.sparse:
            return (
                ItemErrorCode.UNSUPPORTED_FORMAT,
                "sparse and multi-volume members are not supported: pack again without them",
            )
        if name.endswith("/"):
            return ItemErrorCode.UNSAFE_PATH, f"expected a file, got a folder's name with {size:,} bytes: pack it again"
        problem = name_problem(name)
        missing = data_start + size - self._access.size
        if problem is None and missing > 0:
            return (
                ItemErrorCode.TRUNCATED,
                f"the archive ends {missing:,} bytes before this member does; what came after is lost",
            )
        return problem or size_problem(size, self._max_bytes)

    def read(self, member: Member) -> bytes:
        """The member's bytes. TAR has no checksum over them.

        Raises:
            ItemError: what the listing already knew, or truncated.
            StorageUnavailableError: the bytes cannot be reached now.
        """
        if member.error is not None:
            raise ItemError(member.error, member.error_text)
        data = read_member_range(self._access, member, member.offset, member.size)
        if len(data) < member.size:
            raise ItemError(
                ItemErrorCode.TRUNCATED, f"the archive ends {member.size - len(data):,} bytes before the member does"
            )
        return data

    def close(self) -> None:
        """Release the file."""
        self._access.close()


def _wanted(records: dict[str, bytes]) -> dict[str, bytes]:
    return {keyword: records[keyword] for keyword in ("path", "size") if keyword in records}


def _name(header: Header, overrides: _Overrides) -> str:
    raw = overrides.get("GNU.sparse.name") or overrides.get("path") or overrides.long_name
    return (header.name if raw is None else raw).decode("utf-8", "surrogateescape")


def _size(header: Header, overrides: _Overrides, position: int) -> int:
    raw = overrides.get("size")
    if raw is None:
        return header.size
    if not raw.isdigit() or len(raw) > 20:
        raise ArchiveError(f"the pax header before byte {position:,} of the TAR says size {raw[:40]!r}: damaged")
    return int(raw)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
