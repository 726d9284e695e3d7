"""CSV is what a CSV reader reads back, and no cell is a formula, whatever the names are. Parquet is a stream of row groups."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from api.results.tables import csv_header, csv_lines, json_lines, make_batch, make_schema, parquet_blocks
from core.csvcells import csv_cell, csv_line, escape_controls
from core.db.results import ResultRow


def row(number: int, name: bytes) -> ResultRow:
    return ResultRow(
        number, name, "failed", None, None, None, None, None, "truncated", "why", None, None, None, None, None, None
    )


NAMES = st.binary(max_size=12) | st.text("=+-@\t\r\n\",;'a\\xf0\x00\x85\u2028", max_size=6).map(str.encode)


def files(names: list[bytes]) -> tuple[list[dict[str, str]], list[str], str]:
    """Rows of the CSV, names of the JSON lines, and the CSV itself."""
    schema = make_schema(["a", "=b,"])
    batch = make_batch([row(number, name) for number, name in enumerate(names)], "=model", ["a", "=b,"], schema)
    text = (csv_header(schema) + csv_lines(batch)).decode()
    lines = json_lines(batch).decode().split("\n")[:-1]
    return list(csv.DictReader(io.StringIO(text, newline=""))), [json.loads(line)["name"] for line in lines], text


def unescaped(text: str) -> bytes:
    """The bytes of a name from what is shown of it."""
    parts = re.split(r"\\x([0-9a-f]{2})", text)
    return b"".join(bytes.fromhex(part) if number % 2 else part.encode() for number, part in enumerate(parts))


@settings(deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=20))
def test_names_come_back(names: list[bytes]) -> None:
    rows, json_names, text = files(names)
    assert [unescaped(name) for name in json_names] == names
    cells = [each["name"] for each in rows]
    assert [unescaped(re.sub(r"^'('*[=+\-@])", r"\1", cell)) for cell in cells] == names
    assert not any(cell.startswith(tuple("=+-@\t\r\n")) for cell in cells)
    assert all(each["model"] == "'=model" and each["p_=b,"] == "" for each in rows)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", text), "no control character but the ends of lines"
    assert text.count("\n") == len(names) + 1


def test_texts_that_many_rows_have_follow_the_same_rules() -> None:
    labels = ['a"b', "back\\slash", "=x", "a,b", "tab\there", "plain", None, "plain", 'a"b', "é\u2028"]
    rows = [row(number, b"n")._replace(label=label) for number, label in enumerate(labels)]
    batch = make_batch(rows, 'm"1', ["a"], make_schema(["a"]))
    lines = [json.loads(line) for line in json_lines(batch).decode().split("\n")[:-1]]
    assert [(line["label"], line["model"], line["status"]) for line in lines] == [(each, 'm"1', "failed") for each in labels]
    cells = csv_lines(batch).decode().splitlines()
    for number, (line, label) in enumerate(zip(cells, labels, strict=True)):
        assert line.startswith(f"{number},n,failed,{csv_cell(label or '')},")
    assert all(',"m""1",' in line for line in cells)


def test_names_that_looked_alike() -> None:
    """A byte that is no UTF-8 and the text that stands for it; a formula and a formula behind an apostrophe."""
    names = [b"\xff.jpg", rb"\xff.jpg", rb"\x5cxff.jpg", rb"\xFF.jpg", b"a\n", rb"a\x0a", b"=a", b"'=a", b"''=a", b"'a"]
    rows, json_names, _ = files(names)
    assert json_names[:5] == [r"\xff.jpg", r"\x5cxff.jpg", r"\x5cx5cxff.jpg", r"\xFF.jpg", "a\n"]
    assert [each["name"] for each in rows][4:] == [r"a\x0a", r"a\x5cx0a", "'=a", "''=a", "'" * 3 + "=a", "'a"]
    assert len({each["name"] for each in rows}) == len(set(json_names)) == len(names)


def test_a_spreadsheet_that_separates_by_semicolon_sees_the_same_cells() -> None:
    """Whatever holds a `;` is quoted, so that no cell begins in the middle of a name."""
    _, _, text = files([b"a;=1+1", b"a\t=1", b"a,b", b'a"b', b"=x", b"plain"])
    assert [line.partition(",failed")[0] for line in text.splitlines()[1:]] == [
        *('0,"a;=1+1"', r"1,a\x09=1", '2,"a,b"', '3,"a""b"', '4,"\'=x"', "5,plain"),
    ]


@given(st.text(max_size=8))
def test_cells_of_other_tables_follow_the_same_rules(text: str) -> None:
    schema = pa.schema([("name", pa.string())])
    batch = pa.RecordBatch.from_arrays([pa.array([text], pa.string())], schema=schema)
    assert csv_lines(batch).decode() == csv_line([text])


CELLS = st.dictionaries(
    st.sampled_from(["dx", "DX_2", "Alter, Jahre", "note"]), st.text(max_size=6) | st.sampled_from(["-0.5", "=1+1", "+4"])
)


@settings(deadline=None)
@given(st.lists(st.none() | CELLS, min_size=1, max_size=8))
def test_the_cells_of_a_table_come_back(cells: list[dict[str, str] | None]) -> None:
    columns = ["dx", "DX_2", "Alter, Jahre", "note"]
    rows = [row(number, b"a.jpg")._replace(metadata=each) for number, each in enumerate(cells)]
    schema = make_schema(["a"], columns)
    batch = make_batch(rows, "m", ["a"], schema, columns)
    assert schema.names[-4:] == ["meta_dx", "meta_DX_2", "meta_Alter, Jahre", "meta_note"]
    assert [batch[f"meta_{name}"].to_pylist() for name in columns] == [
        [(each or {}).get(name) for each in cells] for name in columns
    ]
    found = list(csv.DictReader(io.StringIO((csv_header(schema) + csv_lines(batch)).decode(), newline="")))
    for each, shown in zip(cells, found, strict=True):
        for name in columns:
            cell = (each or {}).get(name, "")
            is_formula = re.match(r"'*[=+\-@]", cell) and not re.fullmatch(
                r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?", cell
            )
            assert shown[f"meta_{name}"] == (f"'{escape_controls(cell)}" if is_formula else escape_controls(cell))
    as_object = make_batch(rows, "m", ["a"], make_schema(["a"], columns, as_object=True), columns)
    lines = json_lines(as_object).decode().split("\n")[:-1]
    assert [json.loads(line)["metadata"] for line in lines] == [each or {} for each in cells]


def test_parquet_begins_before_the_first_row_is_read_and_has_groups_of_whole_batches() -> None:
    schema = pa.schema([("item", pa.int32())])
    read: list[int] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, 200_000, 40_000):
            read.append(first)
            yield pa.record_batch([pa.array(range(first, first + 40_000), pa.int32())], schema)

    blocks = parquet_blocks(batches(), schema)
    began = next(blocks)
    assert (began, read) == (b"PAR1", [])
    held = [next(blocks)]
    assert read == [0, 40_000]
    file = parquet.ParquetFile(io.BytesIO(b"".join([began, *held, *blocks])))
    groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert groups == [80_000, 80_000, 40_000]
    assert file.read().column("item").to_pylist() == list(range(200_000))
