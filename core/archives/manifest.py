"""A table of images: one row per image, read from below a root folder or s3:// prefix; its other columns travel along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.archives.base import Member
from core.archives.beneath import RootFolder
from core.archives.notes import ArchiveNote, Notes
from core.archives.screening import size_problem
from core.archives.tables.columns import IMAGE_NAME, IMAGE_SUFFIXES, find_columns, is_known, list_columns
from core.archives.tables.encoding import decode_cell, decode_head, has_odd_bytes
from core.archives.tables.layout import FILE_LIKE, Layout, find_layout
from core.archives.tables.lookup import Lookup, Searched
from core.archives.tables.reading import Row, Table
from core.archives.tables.roots import Files, FolderRoot, S3Root
from core.errors import ItemError, ItemErrorCode
from core.storage.base import RandomAccess

__all__ = ["ManifestArchive", "S3Root", "decode_head", "describe_table", "looks_like_manifest", "read_paths"]

HEAD_BYTES = 256 * 1024  # of a file that are looked at to see whether it is a table: a header may be long


class ManifestArchive:
    """The files that a table names, in its order; names exactly as they stand there."""

    def __init__(
        self, access: RandomAccess, root: str, files: RootFolder | S3Root, max_bytes: int, path_column: str = ""
    ) -> None:
        """Reads nothing yet.

        Args:
            access: the table; closed with the archive.
            root: absolute folder or s3:// prefix that relative paths count from and that no path may leave.
            files: reads below that root; closed with the archive.
            max_bytes: limit for one file.
            path_column: the column that names the images; empty to find it.
        """
        self._access = access
        self._root = root.rstrip("/")
        self._files: Files = FolderRoot(Path(root), files) if isinstance(files, RootFolder) else files
        self._max_bytes = max_bytes
        self._path_column = path_column
        self._skipped = 0
        self._notes = Notes()

    @property
    def skipped(self) -> int:
        """Rows without a path passed over by members() so far."""
        return self._skipped

    @property
    def notes(self) -> Notes:
        """What members() has found worth a note so far."""
        return self._notes

    def members(self) -> Iterator[Member]:
        """One member per row, in constant memory.

        Raises:
            ArchiveError: no table, no column that names images, or a row over the limits.
            StorageUnavailableError: the file system does not answer.
        """
        self._skipped = 0
        self._notes.clear()
        table = Table(self._access, self._path_column)
        searched = Searched(self._files, table.fallback)
        try:
            column, lookup = self._choose(table, searched)
            for row in table.rows():
                if row.cell(column).strip():
                    yield self._member(table, row, column, lookup)
                else:
                    self._skipped += 1
                    self._notes.add(ArchiveNote.ROWS_WITHOUT_PATH, example=f"line {row.line:,}")
        finally:
            searched.close()

    def _choose(self, table: Table, searched: Searched) -> tuple[int, Lookup]:
        """Of the columns that may name the images, the one of which most values are found; of equal ones the first."""

        def look_up(column: int) -> Lookup:
            return Lookup(self._root, searched, column, lambda: (row.cell(column) for row in table.rows()))

        found = [(column, look_up(column)) for column in table.columns]
        if len(found) == 1:
            return found[0]
        return max(found, key=lambda each: sum(_is_found(each[1], row.cell(each[0])) for row in table.sample))

    def _member(self, table: Table, row: Row, column: int, lookup: Lookup) -> Member:
        cell = row.cell(column)
        metadata = table.metadata(row, column)
        if has_odd_bytes(row.cells):
            self._notes.add(ArchiveNote.CELLS_GUESSED, example=f"line {row.line:,}, {table.fallback}")
        if problem := table.problem(row):
            return Member(decode_cell(cell, table.fallback), error=ItemErrorCode.BAD_ROW, error_text=problem)
        try:
            found = lookup.find(cell)
        except ItemError as error:
            name = decode_cell(cell, table.fallback)
            return Member(name, error=error.code, error_text=str(error), metadata=metadata)
        if found.differs:
            self._notes.add(ArchiveNote.FILES_MATCHED, example=f"{found.name} as {found.place}")
        code, text = size_problem(found.size, self._max_bytes) or (None, "")
        size = max(found.size, 0)
        return Member(
            found.name, packed_size=size, size=size, error=code, error_text=text, place=found.place, metadata=metadata
        )

    def read(self, member: Member) -> bytes:
        """The file's bytes as they are now.

        Raises:
            ItemError: what the listing already knew, or gone, outside the root, a link, too large, empty.
            StorageUnavailableError: the bytes cannot be reached now.
        """
        if member.error is not None:
            raise ItemError(member.error, member.error_text)
        place = member.place or self._find(member.name)
        try:
            return self._files.read(place, self._max_bytes)
        except ItemError as error:
            if error.code is not ItemErrorCode.NOT_FOUND or member.size or IMAGE_NAME.search(place):
                raise
            return self._read_with_suffix(place, error)

    def _find(self, name: str) -> str:
        """The place of a member that an earlier release listed."""
        searched = Searched(self._files, "cp1252")
        try:
            return Lookup(self._root, searched, 0, lambda: iter(())).find(name).place
        finally:
            searched.close()

    def _read_with_suffix(self, place: str, first: ItemError) -> bytes:
        """An image whose suffix the table leaves out, below a prefix that may not be listed."""
        for suffix in (*IMAGE_SUFFIXES, "JPG", "PNG"):
            try:
                return self._files.read(f"{place}.{suffix}", self._max_bytes)
            except ItemError as error:
                if error.code is not ItemErrorCode.NOT_FOUND:
                    raise
        raise first

    def close(self) -> None:
        """Release the table and the root."""
        self._files.close()
        self._access.close()


def _is_found(lookup: Lookup, cell: str) -> bool:
    try:
        return bool(cell.strip() and lookup.find(cell))
    except ItemError:
        return False


def read_paths(access: RandomAccess, path_column: str = "") -> Iterator[str]:
    """The cells of the likeliest column that names images, one per row, in constant memory.

    Raises:
        ArchiveError: no text, no such column, a line without end, or quotes that never close.
        StorageUnavailableError: its place does not answer.
    """
    table = Table(access, path_column)
    return (row.cell(table.columns[0]) for row in table.rows())


def looks_like_manifest(head: bytes, *, path_column: str = "") -> bool:
    """Whether a file that begins with these bytes is a text with a column that names images, or a list of file names.

    Args:
        head: the first bytes, best up to HEAD_BYTES.
        path_column: the user says that there is a table: any text is one.
    """
    text = decode_head(head)
    layout = find_layout(text, complete=len(head) < HEAD_BYTES, path_column=path_column) if text else None
    if layout is None:
        return False
    return bool(path_column) or _names_images(layout)


def describe_table(head: bytes) -> str:
    """The columns of a text that looks like a table of which none names images; empty for any other text."""
    text = decode_head(head)
    layout = find_layout(text, complete=len(head) < HEAD_BYTES) if text else None
    if layout is None or len(layout.header) < 2 or not layout.first_rows:
        return ""
    if any(len(row) != len(layout.header) for row in layout.first_rows):
        return ""
    return list_columns(layout.header)


def _names_images(layout: Layout) -> bool:
    if len(layout.header) > 1 or not layout.has_header or is_known(layout.header[0]):
        return bool(find_columns(layout.header, layout.first_rows))
    cells = [*layout.header, *(row[0] for row in layout.first_rows[:1])]
    return any(FILE_LIKE.search(cell.strip()) for cell in cells)
