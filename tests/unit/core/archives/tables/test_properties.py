"""Whatever table the csv module writes, in each dialect and encoding, comes back cell by cell."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.archives.tables.columns import MAX_COLUMNS, name_columns
from core.archives.tables.encoding import decode_cell
from core.archives.tables.reading import Table
from core.errors import ArchiveError
from tests.support.archive_bytes import BytesAccess

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
WESTERN = "äöüßéèñçàÄÖÜåøæ"
CELLS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")) | st.sampled_from('\r\n\t\n"\\,;|# '), max_size=12
)
WESTERN_CELLS = st.text(st.characters(codec="ascii", exclude_categories=("Cc",)) | st.sampled_from(WESTERN), max_size=12)
ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=8)
)
WESTERN_ROWS = st.lists(st.lists(WESTERN_CELLS, min_size=2, max_size=2), min_size=1, max_size=8)


def written(rows: list[list[str]], delimiter: str, end: str, quoting: int) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


def encoded(text: str, encoding: str) -> bytes:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    return mark + text.encode(encoding)


def read(data: bytes) -> list[dict[str, str]]:
    table = Table(BytesAccess(data))
    assert [table.header[column] for column in table.columns[:1]] == ["image_id"]
    return [{"": row.cell(table.columns[0]), **table.metadata(row, table.columns[0])} for row in table.rows()]


@given(
    ROWS,
    st.tuples(
        st.sampled_from(",;\t|"), st.sampled_from(("\n", "\r\n", "\r")), st.sampled_from((csv.QUOTE_ALL, csv.QUOTE_MINIMAL))
    ),
    st.sampled_from(ENCODINGS),
    st.booleans(),
)
@example([['\\"x', "a"]], (",", "\n", csv.QUOTE_ALL), "utf-8", False)
@example([['a\\"', "x"]], (";", "\n", csv.QUOTE_ALL), "utf-8", False)
@example([["# a"]], (",", "\n", csv.QUOTE_MINIMAL), "utf-8", True)
@example([["a.jpg", "b.jpg"]], ("|", "\r", csv.QUOTE_MINIMAL), "utf-16", True)
def test_round_trip(rows: list[list[str]], dialect: tuple[str, str, int], encoding: str, first: bool) -> None:
    if dialect[2] == csv.QUOTE_MINIMAL:  # the csv module does not quote a CR where lines end by LF
        rows = [[cell.replace("\r", " ").replace("\n", " ") for cell in row] for row in rows]
    header = [f"c{number}" for number in range(len(rows[0]))]
    names = [f"ISIC_{number}" for number in range(len(rows))]

    def joined(name: str, row: list[str]) -> list[str]:
        return [name, *row] if first else [*row, name]

    table = [joined("image_id", header), *(joined(name, row) for name, row in zip(names, rows, strict=True))]
    data = encoded(written(table, *dialect), encoding)
    assert read(data) == [{"": name, **dict(zip(header, row, strict=True))} for name, row in zip(names, rows, strict=True)]


@given(WESTERN_ROWS, st.sampled_from(",;"), st.sampled_from(("cp1252", "mac_roman")))
def test_windows_and_macintosh(rows: list[list[str]], delimiter: str, encoding: str) -> None:
    """A Macintosh ends lines by CR, in old programs at least; letters decide elsewhere."""
    table = [["image_id", "a", "b"], *([f"ISIC_{number}", *row] for number, row in enumerate(rows))]
    end = "\r" if encoding == "mac_roman" else "\r\n"
    data = written(table, delimiter, end, csv.QUOTE_ALL).encode(encoding)
    try:
        data.decode()
    except UnicodeDecodeError:
        assert [[row["a"], row["b"]] for row in read(data)] == rows


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        table = Table(BytesAccess(b"image,x\n" + data))
        for row in table.rows():
            table.metadata(row, 0)
            table.problem(row)
    except ArchiveError:
        pass


@given(st.binary(max_size=30))
def test_any_cell_becomes_text(raw: bytes) -> None:
    for fallback in ("cp1252", "mac_roman"):
        decode_cell(raw.decode("utf-8", "surrogateescape"), fallback).encode()


@given(st.lists(st.text(max_size=8) | st.sampled_from(["a", "A", "a_2", "", " "]), max_size=20))
def test_names_are_distinct_whatever_stands_there(header: list[str]) -> None:
    names = name_columns(header)
    assert len({name.casefold() for name in names}) == len(header)
    assert all(name.strip() for name in names)
    assert name_columns(header) == names


def test_the_widest_table_is_named_at_once() -> None:
    assert len(set(name_columns(["same"] * MAX_COLUMNS))) == MAX_COLUMNS


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_damaged_row_behind_the_sample_is_refused(delimiter: str) -> None:
    body = "".join(f"ISIC_{number}{delimiter}nv\n" for number in range(2000))
    table = Table(BytesAccess(f'image{delimiter}dx\n{body}ISIC_x{delimiter}"nv\n{body}'.encode()))
    with pytest.raises(ArchiveError, match="damaged CSV near line"):
        list(table.rows())
