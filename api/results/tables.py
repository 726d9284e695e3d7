"""Rows as Arrow columns, and from there as CSV, JSON lines and Parquet. Import it only for an export: pyarrow costs memory.

Names that are no UTF-8 are shown with \\xNN for each odd byte. Cells of CSV are made safe as core.csvcells says; JSON and
Parquet have their texts as they are. Numbers among the cells of a table stay
numbers in CSV: -0.5 is no formula.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from api.results.classcolumns import class_keys, has_columns, rank
from api.results.views import DECISION_KEYS, LOOKALIKE, READ_KEYS, decision_cells, display_name
from core.csvcells import CONTROL, FORMULA, NEEDS_QUOTES, escape_controls
from core.db.decisions import Decided
from core.db.results import ResultRow
from core.evaluation.duplicates import Groups

ROW_GROUP = 65_536  # rows at least, but for the last one
_NUMBER = r"^[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?$"
_OBJECT = "metadata"
_ROW_GROUP_BYTES = 128 * 1024 * 1024  # of rows with much metadata
_BOOLEANS = {0: False, 1: True}  # True and False are 1 and 0, too
_ALL_DIFFERENT = frozenset({"name", "error"})
_NEEDS_ESCAPES = r'[\x00-\x1f"\\]'  # what json.encoder.encode_basestring changes


def make_schema(classes: Sequence[str], metadata: Sequence[str] = (), *, as_object: bool = False) -> pa.Schema:
    """Columns in the order that all formats share.

    Args:
        classes: the model's; a column p_<class> each, or those of the most probable ones (api.results.classcolumns).
        metadata: columns of the table that the images come from; a column meta_<column> each.
        as_object: one column of JSON text for all metadata instead, as `json_lines` has it.
    """
    if as_object and metadata:
        return make_schema(classes).append(pa.field(_OBJECT, pa.string()))
    return pa.schema(
        [
            ("item", pa.int32()),
            ("name", pa.string()),
            ("status", pa.string()),
            ("label", pa.string()),
            ("score", pa.float32()),
            ("risk", pa.float32()),
            *((key, pa.string() if key.startswith("label_") else pa.float32()) for key in class_keys(classes)),
            ("flag", pa.bool_()),
            ("error_code", pa.string()),
            ("error", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("model", pa.string()),
            ("version", pa.int64()),
            ("novelty", pa.float32()),
            ("uncertainty", pa.float32()),
            ("notes", pa.list_(pa.string())),
            *((f"meta_{name}", pa.string()) for name in metadata),
        ]
    )


def with_truth(schema: pa.Schema) -> pa.Schema:
    """The same with the column of true classes at its end."""
    return schema.append(pa.field("truth", pa.string()))


def add_truth(batch: pa.RecordBatch, truths: Mapping[int, str]) -> pa.RecordBatch:
    """A batch with its items' true classes, as `with_truth` has the column."""
    column = pa.array([truths.get(item) for item in batch.column("item").to_pylist()], pa.string())
    return pa.RecordBatch.from_arrays([*batch.columns, column], schema=with_truth(batch.schema))


def with_duplicates(schema: pa.Schema) -> pa.Schema:
    """The same with the column of near duplicates at its end."""
    return schema.append(pa.field("duplicate_group", pa.int32()))


def add_duplicates(batch: pa.RecordBatch, groups: Groups) -> pa.RecordBatch:
    """A batch with its items' groups of near duplicates, as `with_duplicates` has the column."""
    leaders, has = groups.look_up(batch.column("item").to_numpy().astype(np.int64))
    column = pa.array(leaders.astype(np.int32), mask=~has)
    return pa.RecordBatch.from_arrays([*batch.columns, column], schema=with_duplicates(batch.schema))


def with_decisions(schema: pa.Schema, decided: Decided) -> pa.Schema:
    """The same with the columns of decisions at its end; where there are second reads, with those of both."""
    keys = DECISION_KEYS if decided.reads is None else DECISION_KEYS + READ_KEYS
    return pa.schema([*schema, *(pa.field(key, _kind_of(key)) for key in keys)])


def add_decisions(batch: pa.RecordBatch, decided: Decided) -> pa.RecordBatch:
    """A batch with its items' decisions, as `with_decisions` has the columns."""
    schema = with_decisions(batch.schema, decided)
    rows = [decision_cells(decided, item) for item in batch.column("item").to_pylist()]
    columns = [pa.array([row[each.name] for row in rows], each.type) for each in list(schema)[batch.num_columns :]]
    return pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=schema)


def _kind_of(key: str) -> pa.DataType:
    return pa.bool_() if key == "decision_flag" else pa.string()


def make_batch(
    rows: Sequence[ResultRow], model: str, classes: Sequence[str], schema: pa.Schema, metadata: Sequence[str] = ()
) -> pa.RecordBatch:
    """One batch of columns; `schema` is what make_schema() makes of the same classes and metadata."""
    (
        item,
        name,
        state,
        label,
        score,
        risk,
        probabilities,
        flag,
        error_code,
        error,
        width,
        height,
        version,
        novelty,
        uncertainty,
        notes,
        cells,
    ) = zip(*rows, strict=True)
    columns = [
        pa.array(item, pa.int32()),
        _names(name),
        pa.array(state, pa.string()),
        pa.array(label, pa.string()),
        pa.array(score, pa.float32()),
        pa.array(risk, pa.float32()),
        *_probability_columns(probabilities, classes),
        pa.array(map(_BOOLEANS.get, flag), pa.bool_()),
        pa.array(error_code, pa.string()),
        pa.array(error, pa.string()),
        pa.array(width, pa.int32()),
        pa.array(height, pa.int32()),
        pa.repeat(pa.scalar(model, pa.string()), len(rows)),
        pa.array(version, pa.int64()),
        pa.array(novelty, pa.float32()),
        pa.array(uncertainty, pa.float32()),
        pa.array([text.split(",") if text else () for text in notes], pa.list_(pa.string())),
        *_metadata_columns(cells, metadata, as_object=_OBJECT in schema.names),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _metadata_columns(
    cells: Sequence[dict[str, str] | None], metadata: Sequence[str], *, as_object: bool
) -> Iterator[pa.Array]:
    if as_object:
        yield pa.array([json.dumps(each or {}, ensure_ascii=False, separators=(",", ":")) for each in cells], pa.string())
        return
    for name in metadata:
        yield pa.array([each.get(name) if each else None for each in cells], pa.string())


def _names(names: Sequence[bytes]) -> pa.Array:
    try:
        texts = pa.array(names, pa.binary()).cast(pa.string())  # checks that it is UTF-8
    except pa.ArrowInvalid:
        pass
    else:
        if not pc.any(pc.match_substring_regex(texts, LOOKALIKE)).as_py():
            return texts
    return pa.array([display_name(name) for name in names], pa.string())


def _probability_columns(blobs: Sequence[bytes | None], classes: Sequence[str]) -> list[pa.Array]:
    if not classes:
        return []
    nothing = b"\0" * (4 * len(classes))
    matrix = np.frombuffer(b"".join([blob or nothing for blob in blobs]), "<f4").reshape(len(blobs), len(classes))
    missing = np.array([not blob for blob in blobs]) if not all(blobs) else None
    if has_columns(classes):
        return [pa.array(column, mask=missing) for column in np.ascontiguousarray(matrix.T)]
    best, names = rank(matrix), np.array(classes, object)
    scores = np.take_along_axis(matrix, best, axis=1)
    return [
        column
        for place in range(best.shape[1])
        for column in (
            pa.array(names[best[:, place]], pa.string(), mask=missing),
            pa.array(np.ascontiguousarray(scores[:, place]), mask=missing),
        )
    ]


def csv_header(schema: pa.Schema) -> bytes:
    """The first line."""
    names = _quoted(_printable(pa.array(schema.names, pa.string())))
    return ",".join(names.to_pylist()).encode() + b"\n"


def csv_lines(batch: pa.RecordBatch) -> bytes:
    """Lines of RFC 4180, but ended by LF: quotes only where needed, nulls empty, flags true and false, floats shortest.

    A list is one cell, with `;` between its items.
    """
    cells = [_cells(key, column) for key, column in zip(batch.schema.names, batch, strict=True)]
    cells[-1] = pc.binary_join_element_wise(cells[-1], "\n", "", null_handling="replace", null_replacement="")
    return _joined(*cells, ",")


def _cells(key: str, column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):
        return _quoted(pc.binary_join(column, ";"))
    if not pa.types.is_string(column.type):
        return column.cast(pa.string())
    if key in _ALL_DIFFERENT or key.startswith("meta_"):
        return _text_cells(column, keeps_numbers=key.startswith("meta_"))
    few = column.dictionary_encode()
    return _text_cells(few.dictionary, keeps_numbers=False).take(few.indices)


def _text_cells(text: pa.Array, *, keeps_numbers: bool) -> pa.Array:
    if text.null_count == len(text):
        return text
    return _quoted(_neutralised(_printable(text), keeps_numbers=keeps_numbers))


def json_lines(batch: pa.RecordBatch) -> bytes:
    """One JSON object a line; the same keys and values as in pages."""
    parts: list[Any] = []
    for number, (key, column) in enumerate(zip(batch.schema.names, batch, strict=True)):
        parts += [("," if number else "{") + encode_basestring(key) + ":", pc.fill_null(_json_text(key, column), "null")]
    return _joined(*parts, "}\n", "")


def _json_text(key: str, column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):  # of codes, which need no escapes
        texts = pc.binary_join_element_wise('["', pc.binary_join(column, '","'), '"]', "")
        return pc.if_else(pc.equal(pc.list_value_length(column), 0), "[]", texts)
    if not pa.types.is_string(column.type) or key == _OBJECT:
        return column.cast(pa.string())
    if key in _ALL_DIFFERENT:
        return _json_strings(column)
    few = column.dictionary_encode()
    return _json_strings(few.dictionary).take(few.indices)


def _json_strings(text: pa.Array) -> pa.Array:
    if text.null_count == len(text):
        return text
    if pc.any(pc.match_substring_regex(text, _NEEDS_ESCAPES)).as_py():
        return pa.array([None if each is None else encode_basestring(each) for each in text.to_pylist()], pa.string())
    return pc.binary_join_element_wise('"', text, '"', "")


def _joined(*parts: Any) -> bytes:
    """Element-wise join, the last part being the separator, as one run of bytes."""
    lines = pc.binary_join_element_wise(*parts, null_handling="replace", null_replacement="")
    offsets = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return memoryview(lines.buffers()[2])[offsets[0] : offsets[-1]].tobytes()


def _printable(text: pa.Array) -> pa.Array:
    odd = pc.any(pc.match_substring_regex(text, CONTROL)).as_py()
    return pa.array([each and escape_controls(each) for each in text.to_pylist()], pa.string()) if odd else text


def _neutralised(text: pa.Array, *, keeps_numbers: bool) -> pa.Array:
    risky = pc.fill_null(pc.match_substring_regex(text, FORMULA), False)
    if keeps_numbers and pc.any(risky).as_py():
        risky = pc.and_not(risky, pc.fill_null(pc.match_substring_regex(text, _NUMBER), False))
    return pc.if_else(risky, pc.binary_join_element_wise("'", text, ""), text) if pc.any(risky).as_py() else text


def _quoted(text: pa.Array) -> pa.Array:
    odd = pc.fill_null(pc.match_substring_regex(text, NEEDS_QUOTES), False)
    if not pc.any(odd).as_py():
        return text
    doubled = pc.replace_substring(text, '"', '""')
    return pc.if_else(odd, pc.binary_join_element_wise('"', doubled, '"', ""), text)


def returning_memory(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same blocks; at their end, or where nobody takes more, Arrow's free memory goes back to the system."""
    try:
        yield from blocks
    finally:
        pa.default_memory_pool().release_unused()


def parquet_blocks(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    """A Parquet file: its magic number at once, then a row group at a time."""
    sink = _Blocks()
    with pq.ParquetWriter(sink, schema, compression="zstd", write_statistics=True) as writer:
        yield sink.take()
        held: list[pa.RecordBatch] = []
        for batch in batches:
            held.append(batch)
            if sum(map(len, held)) >= ROW_GROUP or sum(each.nbytes for each in held) >= _ROW_GROUP_BYTES:
                _write_group(writer, held)
                held = []
                yield sink.take()
        if held:
            _write_group(writer, held)
    yield sink.take()


def _write_group(writer: pq.ParquetWriter, held: Sequence[pa.RecordBatch]) -> None:
    table = pa.Table.from_batches(held)
    writer.write_table(table, row_group_size=len(table))


class _Blocks(io.RawIOBase):
    """A file that only grows; what was written so far can be taken out."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: object) -> int:
        block = bytes(data)  # type: ignore[call-overload]
        self._held.append(block)
        self._position += len(block)
        return len(block)

    def take(self) -> bytes:
        """All bytes since the last call."""
        held, self._held = self._held, []
        return b"".join(held)
