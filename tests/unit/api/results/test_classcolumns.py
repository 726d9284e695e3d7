"""Models of many classes: rows have the most probable ones, the same in all formats."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from api.results.classcolumns import MOST_COLUMNS, class_keys
from api.results.tables import csv_header, csv_lines, json_lines, make_batch, make_schema, parquet_blocks
from api.results.views import result_objects
from core.db.results import ResultRow

MANY = tuple(f"=class {number}" for number in range(200))  # a name that a spreadsheet would take for a formula
KEYS = ["label_2", "score_2", "label_3", "score_3", "label_4", "score_4", "label_5", "score_5"]


def row(number: int, probabilities: bytes | None) -> ResultRow:
    values = dict.fromkeys(ResultRow._fields) | {"item_no": number, "name": b"a.jpg", "state": "succeeded", "version": 1}
    if probabilities is None:
        return ResultRow(**values | {"state": "failed", "error_code": "truncated", "error": "why"})
    return ResultRow(**values | {"label": MANY[7], "score": 0.5, "probabilities": probabilities, "width": 4, "height": 3})


@pytest.fixture
def rows() -> list[ResultRow]:
    found = np.full(200, 0.0005, "<f4")
    found[[7, 3, 9, 150]] = 0.5, 0.2, 0.1, 0.1
    return [row(0, found.tobytes()), row(1, None)]


def test_up_to_thirty_classes_have_a_column_each() -> None:
    assert class_keys(MANY[:MOST_COLUMNS]) == [f"p_{name}" for name in MANY[:MOST_COLUMNS]]
    assert class_keys(MANY[: MOST_COLUMNS + 1]) == KEYS
    assert class_keys(MANY, every=True) == [f"p_{name}" for name in MANY]


def test_pages_and_files_have_the_five_most_probable(rows: list[ResultRow]) -> None:
    first, failed = result_objects(rows, "m", MANY)
    found = {key: first[key] for key in KEYS}
    assert found == {
        **{"label_2": "=class 3", "score_2": 0.2, "label_3": "=class 9", "score_3": 0.1},
        **{"label_4": "=class 150", "score_4": 0.1, "label_5": "=class 0", "score_5": 0.0005},
    }
    assert [failed[key] for key in KEYS] == [None] * 8
    schema = make_schema(MANY)
    batch = make_batch(rows, "m", MANY, schema)
    assert [json.loads(line) for line in json_lines(batch).splitlines()] == [first, failed]
    cells = next(csv.DictReader(io.StringIO((csv_header(schema) + csv_lines(batch)).decode())))
    assert [cells[key] for key in KEYS] == ["'=class 3", "0.2", "'=class 9", "0.1", "'=class 150", "0.1", "'=class 0", "0.0005"]
    table = parquet.read_table(io.BytesIO(b"".join(parquet_blocks([batch], schema))))
    assert table.column("label_3").to_pylist() == ["=class 9", None]
    assert table.schema.field("score_3").type == pa.float32()


def test_the_row_of_one_item_has_every_class(rows: list[ResultRow]) -> None:
    (first, _) = result_objects(rows, "m", MANY, every_class=True)
    assert (first["p_=class 150"], first["p_=class 1"]) == (0.1, 0.0005)
    assert sum(key.startswith("p_") for key in first) == 200
    assert not set(KEYS) & set(first)
