"""CSV is what a CSV reader reads back, and no cell is a formula, whatever the names are."""

from __future__ import annotations

import csv
import io
import json

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
