"""Names in pages and files of results: shown as they are, safe in CSV; and the byte order mark for Excel."""

from __future__ import annotations

import csv
import io
import json

import pyarrow.parquet as pq

from core.csvcells import escape_controls
from tests.integration.api.conftest import Api, problem, scored

NAMES = (
    "=1+1.jpg",
    "+a",
    "-a",
    "@a",
    "\ta",
    "\ra",
    "\na",
    'quote".jpg',
    "comma,.jpg",
    "line\nbreak.jpg",
    "tab\tinside",
    " =space",
    "ümlaut/日本.jpg",
    "odd\udcff\udcfe.jpg",  # bytes that are no UTF-8
    "nul\x00.jpg",
    "",
    "'quoted",
)


def test_awkward_names(any_api: Api) -> None:
    """Exactly as in the archive, but for bytes that are no UTF-8; in CSV, also control characters and the start of formulas."""
    job = any_api.run(len(NAMES), lambda number: scored(number, [0.1, 0.2, 0.3, 0.4], NAMES[number]))
    shown = [name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for name in NAMES]
    assert shown[13] == "odd\\xff\\xfe.jpg"
    page = any_api.client.get(f"/v1/jobs/{job}/results").json()["data"]
    assert [row["name"] for row in page] == shown
    lines = any_api.client.get(f"/v1/jobs/{job}/results.jsonl").content.decode().split("\n")
    assert [json.loads(line)["name"] for line in lines[:-1]] == shown
    parquet = pq.read_table(io.BytesIO(any_api.client.get(f"/v1/jobs/{job}/results.parquet").content))
    assert parquet["name"].to_pylist() == shown
    text = any_api.client.get(f"/v1/jobs/{job}/results.csv").content.decode()
    safe = [f"'{name}" if name[:1] in tuple("=+-@") and name else name for name in map(escape_controls, shown)]
    assert [row["name"] for row in csv.DictReader(io.StringIO(text, newline=""))] == safe


def test_a_byte_order_mark_for_excel(api: Api) -> None:
    job = api.run(1, lambda number: scored(number, [0.1, 0.2, 0.3, 0.4], "ümlaut.jpg"))
    plain = api.client.get(f"/v1/jobs/{job}/results.csv").content
    marked = api.client.get(f"/v1/jobs/{job}/results.csv?bom=true").content
    assert marked == b"\xef\xbb\xbf" + plain
    assert plain.startswith(b"item,name,")
    answer = problem(api.client.get(f"/v1/jobs/{job}/results.jsonl?bom=true"), 422, "invalid_parameters")
    assert "only results.csv" in answer["detail"]
