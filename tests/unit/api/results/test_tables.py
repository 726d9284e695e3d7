"""CSV is what a CSV reader reads back, and no cell is a formula, whatever the names are."""

from __future__ import annotations

import csv
import io
import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from api.results.tables import csv_header, csv_lines, json_lines, make_batch, make_schema
from core.db.results import ResultRow


def row(number: int, name: bytes) -> ResultRow:
    return ResultRow(number, name, "failed", None, None, None, None, None, "truncated", "why", None, None, None, None)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=12) | st.text("=+-@\t\r\n\",'a", max_size=4).map(str.encode), min_size=1, max_size=20))
def test_names_come_back(names: list[bytes]) -> None:
    schema = make_schema(["a", "=b,"])
    batch = make_batch([row(number, name) for number, name in enumerate(names)], "=model", ["a", "=b,"], schema)
    text = (csv_header(schema) + csv_lines(batch)).decode()
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    shown = [name.decode("utf-8", "backslashreplace") for name in names]
    assert [each["name"] for each in found] == [f"'{name}" if name.startswith(tuple("=+-@\t\r\n")) else name for name in shown]
    assert all(each["model"] == "'=model" and each["p_=b,"] == "" for each in found)
    assert [json.loads(line)["name"] for line in json_lines(batch).decode().split("\n")[:-1]] == shown


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
            is_formula = cell.startswith(tuple("=+-@\t\r\n")) and not re.fullmatch(
                r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?", cell
            )
            assert shown[f"meta_{name}"] == (f"'{cell}" if is_formula else cell)
    as_object = make_batch(rows, "m", ["a"], make_schema(["a"], columns, as_object=True), columns)
    lines = json_lines(as_object).decode().split("\n")[:-1]
    assert [json.loads(line)["metadata"] for line in lines] == [each or {} for each in cells]
