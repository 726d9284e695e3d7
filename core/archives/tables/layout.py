"""How a table is laid out: lines before its header, delimiter, quoting, header. Decided by its first rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from core.archives.tables.columns import IMAGE_NAME, find_columns, is_known, normalise

DELIMITERS = (",", ";", "\t", "|")
NO_DELIMITER = "\x1f"  # a control character that no text has: a table of one column
SAMPLE_ROWS = 50
_SEPARATOR = re.compile(r'\A"?sep=(?P<sign>[^"\r\n])"?[\s,;]*\Z', re.IGNORECASE)  # Excel
FILE_LIKE = re.compile(r"\.[A-Za-z0-9]{2,5}\Z")  # a name with a suffix of whatever kind
_R_ESCAPE = re.compile(r'\\"(?=[^,;\t|\r\n])')  # R's write.table: \" for a quote within quotes
_R_SIGN = re.compile(r'\\"[^,;\t|\r\n"]')
_DOUBLED = re.compile(r'[^,;\t| \r\n]""[^,;\t|\r\n"]')  # a quote within quotes as all others write it
_SPACED_HEADER = re.compile(r'\A"[^"]*"( "[^"]*")+\s*\Z')  # R's write.table as it comes: quoted names, spaces between them
_MAX_PREAMBLE = 100  # lines of comments


class Reader(Protocol):
    """What `csv.reader` makes."""

    @property
    def line_num(self) -> int: ...

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Layout:
    """What the first rows show."""

    skipped_lines: int  # before the header
    delimiter: str
    header: tuple[str, ...]  # names as they stand there; one empty name in a list without a header
    has_header: bool
    skips_spaces: bool = False  # between a delimiter and a quote
    escapes: bool = False  # R's backslash before a quote
    comment: str = ""  # sign before the header's first name
    first_rows: tuple[tuple[str, ...], ...] = ()  # below the header

    def rows(self, lines: Iterator[str]) -> Reader:
        """All rows of a text whose preamble has been passed over; `csv.Error` where a quote is never closed."""
        if self.escapes:
            lines = (_R_ESCAPE.sub('""', line) for line in lines)
        return _records(lines, self.delimiter, skips_spaces=self.skips_spaces)


def find_layout(text: str, *, complete: bool, path_column: str = "") -> Layout | None:
    """The layout of a table that begins with this text; None if it is empty.

    Args:
        text: the first lines.
        complete: whether it is the whole file.
        path_column: a column that the user says is there.
    """
    lines = list(io.StringIO(text, newline=""))
    if not complete and len(lines) > 1 and not lines[-1].endswith(("\n", "\r")):
        lines.pop()
    start, sign, commented = _pass_preamble(lines)
    if start >= len(lines):
        return None
    if commented is not None and not _is_header(lines[start], sign, path_column):
        below = lines[commented].lstrip()[1:].lstrip()
        if _is_header(below, sign, path_column):
            return _choose([below, *lines[commented + 1 :]], commented, sign, path_column, comment="#")
    return _choose(lines[start:], start, sign, path_column)


def _pass_preamble(lines: Sequence[str]) -> tuple[int, str, int | None]:
    """(number of the header's line, delimiter that Excel's first line names, number of the last comment line)."""
    sign, commented = "", None
    for number, line in enumerate(lines[:_MAX_PREAMBLE]):
        text = line.strip()
        if found := _SEPARATOR.match(line.strip("\r\n ")):
            sign = found["sign"]
        elif text.startswith("#") and not IMAGE_NAME.search(text):
            commented = number
        elif text:
            return number, sign, commented
    return min(len(lines), _MAX_PREAMBLE), sign, commented


def _is_header(line: str, sign: str, path_column: str) -> bool:
    return any(
        _has_column(next(_records(iter([line]), delimiter, strict=False), []), path_column)
        for delimiter in ([sign] if sign else DELIMITERS)
    )


def _has_column(header: Sequence[str], path_column: str) -> bool:
    if path_column:
        return any(normalise(name) == normalise(path_column) for name in header)
    return any(map(is_known, header))


def _choose(lines: Sequence[str], skipped: int, sign: str, path_column: str, comment: str = "") -> Layout:
    escapes = _uses_r_escapes("".join(lines))
    signs = [sign] if sign else [*DELIMITERS, *([" "] if _SPACED_HEADER.match(lines[0]) else [])]
    tried = [Layout(skipped, each, (), True, _spaced(lines[0], each), escapes, comment) for each in signs]
    best, rows = max(((layout, _sample(layout, lines)) for layout in tried), key=lambda each: _score(each[1], path_column))
    known = _has_column(rows[0], path_column)
    if not known and not sign and _is_list(lines):
        texts = tuple((line.strip("\r\n"),) for line in lines[:SAMPLE_ROWS] if line.strip())
        return Layout(skipped, NO_DELIMITER, ("",), False, first_rows=texts)
    has_header = known or bool(path_column) or not _is_data(rows[0])
    header = _fit_header(rows) if has_header else ("",) * max(map(len, rows))
    return replace(
        best,
        delimiter=best.delimiter if len(header) > 1 or sign else NO_DELIMITER,
        header=header,
        has_header=has_header,
        first_rows=tuple(map(tuple, rows[1:] if has_header else rows)),
    )


def _is_data(row: Sequence[str]) -> bool:
    """Whether a first row is no header: it holds the file name of an image, or is one name that ends like a file's."""
    return any(IMAGE_NAME.search(cell) for cell in row) or (len(row) == 1 and FILE_LIKE.search(row[0].strip()) is not None)


def _score(rows: Sequence[Sequence[str]], path_column: str) -> tuple[bool, bool, float, int]:
    """How well a delimiter fits: the column is there, there are several columns, the rows have equal widths, the width."""
    if not rows:
        return False, False, 0.0, 0
    width = len(rows[0])
    fitting = sum(len(row) in (width, width + 1) for row in rows) / len(rows)
    wanted = _has_column(rows[0], path_column) or (not path_column and bool(find_columns(rows[0], rows[1:])) and width > 1)
    return wanted, width > 1, fitting, width


def _is_list(lines: Sequence[str]) -> bool:
    """Whether each line is a file name by itself, commas included."""
    texts = [line.strip() for line in lines[:SAMPLE_ROWS] if line.strip()]
    return bool(texts) and all(IMAGE_NAME.search(text.strip('"')) for text in texts) and not _looks_tabular(texts)


def _looks_tabular(texts: Sequence[str]) -> bool:
    """Several image names in each line: a table without a header rather than a list."""

    def images(text: str, delimiter: str) -> int:
        return sum(IMAGE_NAME.search(cell) is not None for cell in text.split(delimiter))

    return any(all(images(text, delimiter) > 1 for text in texts) for delimiter in DELIMITERS)


def _sample(layout: Layout, lines: Sequence[str]) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in layout.rows(iter(lines)):
            if any(cell.strip() for cell in row):
                rows.append(row)
            if len(rows) > SAMPLE_ROWS:
                break
    except csv.Error:
        pass  # cut within quotes, or damaged: reading it will say where
    return rows or [lines[0].strip("\r\n").split(layout.delimiter)]


def _fit_header(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The header, with an empty name before it where R left out the one of its row names."""
    header, body = list(rows[0]), rows[1:]
    one_more = body and all(len(row) == len(header) + 1 for row in body)
    if one_more and any(row[-1].strip() for row in body):
        header.insert(0, "")
    return tuple(header)


def _spaced(line: str, delimiter: str) -> bool:
    return delimiter != " " and f'{delimiter} "' in line


def _uses_r_escapes(text: str) -> bool:
    return _R_SIGN.search(text) is not None and _DOUBLED.search(text) is None


def _records(lines: Iterator[str], delimiter: str, *, skips_spaces: bool = False, strict: bool = True) -> Reader:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=skips_spaces, strict=strict)
