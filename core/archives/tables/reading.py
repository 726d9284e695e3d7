"""A table, row by row, in constant memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from core.archives.tables.columns import (
    IMAGE_NAME,
    MAX_COLUMNS,
    find_columns,
    list_columns,
    match_columns,
    name_columns,
    no_column,
)
from core.archives.tables.encoding import decode_cell, find_encoding, read_lines
from core.archives.tables.layout import SAMPLE_ROWS, Layout, find_layout
from core.errors import ArchiveError
from core.storage.base import RandomAccess

_MAX_LINE = 1024 * 1024  # characters
_SAMPLE_LINES = 250
_SAMPLE_CHARACTERS = 512 * 1024
MAX_CELL = 32_767  # characters: what a cell of Excel holds
MAX_ROW_BYTES = 65_536  # UTF-8 bytes of a row's metadata, names of columns included


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    line: int  # where it ends in the file, from 1
    cells: list[str]  # bytes that are no UTF-8 as surrogate escapes

    def cell(self, column: int) -> str:
        """A cell; empty where the row is too short."""
        return self.cells[column] if column < len(self.cells) else ""


class Table:
    """Header and rows of a text table."""

    def __init__(self, access: RandomAccess, path_column: str = "") -> None:
        """Read the first rows.

        Args:
            access: the file; stays open.
            path_column: the column that names the images; empty to find it.

        Raises:
            ArchiveError: no text, no such column, too many columns, or a line without end.
            StorageUnavailableError: its place does not answer.
        """
        self._access = access
        self._encoding = find_encoding(access)
        self._layout = self._find_layout(path_column)
        self.header: Sequence[str] = [decode_cell(name, self.fallback) for name in self._layout.header]
        if len(self.header) > MAX_COLUMNS:
            raise ArchiveError(f"expected a table of at most {MAX_COLUMNS} columns, got {len(self.header):,}: remove some")
        self.names = name_columns(self.header)
        self.sample = list(islice(self.rows(tolerant=True), SAMPLE_ROWS))
        cells = [row.cells for row in self.sample]
        self.columns = match_columns(self.header, path_column) if path_column else find_columns(self.header, cells)
        if not self.columns:
            raise no_column(self.header)
        self.used = {at for at, name in enumerate(self.header) if name.strip()}  # columns that have a name, or values

    @property
    def fallback(self) -> str:
        """The encoding of cells that are no UTF-8."""
        return self._encoding.fallback

    def _find_layout(self, path_column: str) -> Layout:
        pieces: list[str] = []
        size = 0
        complete = True
        for line in read_lines(self._access, self._encoding, _MAX_LINE):
            if len(pieces) >= _SAMPLE_LINES or size > _SAMPLE_CHARACTERS:
                complete = False
                break
            pieces.append(line)
            size += len(line)
        layout = find_layout("".join(pieces), complete=complete, path_column=path_column)
        if layout is None:
            raise no_column([])
        return layout

    def rows(self, *, tolerant: bool = False) -> Iterator[Row]:
        """The rows below the header, without empty ones and comments.

        Args:
            tolerant: stop where the text is damaged, for a sample.

        Raises:
            ArchiveError: a line without end, quotes that never close, bytes that are no text.
            StorageUnavailableError: its place does not answer.
        """
        layout = self._layout
        records = layout.rows(self._body())
        try:
            reader = iter(records)
            if layout.has_header:
                next(reader, None)
            for cells in reader:
                line = layout.skipped_lines + records.line_num
                if any(cell.strip() for cell in cells) and not _is_comment(cells, len(layout.header)):
                    yield Row(line, cells)
        except csv.Error as error:
            if not tolerant:
                line = layout.skipped_lines + records.line_num
                raise ArchiveError(f"damaged CSV near line {line:,}: {error}; is a quote missing there?") from error

    def _body(self) -> Iterator[str]:
        lines = read_lines(self._access, self._encoding, _MAX_LINE)
        for number, line in enumerate(lines):
            if number == self._layout.skipped_lines and self._layout.comment:
                yield line.lstrip().removeprefix(self._layout.comment).lstrip()
            elif number >= self._layout.skipped_lines:
                yield line

    def problem(self, row: Row) -> str:
        """Why a row's cells cannot be told apart; empty if they can. Empty cells at its end are no fault."""
        width = len(self.header)
        if not any(cell.strip() for cell in row.cells[width:]):
            return ""
        return (
            f"line {row.line:,} of the table has {len(row.cells)} cells, its header {width}: put a cell that holds the "
            "delimiter into quotes"
        )

    def metadata(self, row: Row, path_column: int) -> dict[str, str]:
        """All cells of a row but the one that names the image, by the name of their column.

        A cell that the row does not have is left out; a column without a name is left out where its cell is empty.

        Raises:
            ArchiveError: a cell, or the row, is over the limit.
        """
        found: dict[str, str] = {}
        size = 0
        for at, cell in enumerate(row.cells[: len(self.header)]):
            if at == path_column or (not cell.strip() and at not in self.used):
                continue
            if len(cell) > MAX_CELL:
                raise self._over(row, f"a cell of {len(cell):,} characters in column {self.names[at]!r}", f"{MAX_CELL:,}")
            self.used.add(at)
            found[self.names[at]] = text = decode_cell(cell, self.fallback)
            size += len(text.encode("utf-8", "replace")) + len(self.names[at])
        if size > MAX_ROW_BYTES:
            raise self._over(row, f"{size:,} bytes in all", f"{MAX_ROW_BYTES:,}")
        return found

    def _over(self, row: Row, what: str, limit: str) -> ArchiveError:
        return ArchiveError(
            f"line {row.line:,} of the table has {what}, the limit is {limit}: remove columns that the results need not have; "
            f"the columns are {list_columns(self.header)}"
        )


def _is_comment(cells: Sequence[str], width: int) -> bool:
    """A line that begins with # and is no file name: between rows of several columns, or followed by a space."""
    if len(cells) != 1 or not cells[0].startswith("#") or IMAGE_NAME.search(cells[0]):
        return False
    return width > 1 or cells[0].startswith("# ")
