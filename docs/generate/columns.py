"""Result columns, from the export's schema and the fields of a row over HTTP."""

from __future__ import annotations

import pyarrow as pa

from api.results.tables import make_schema, with_decisions, with_duplicates, with_truth
from api.schemas import ResultObject
from core.db.decisions import Decided
from docs.generate.markdown import code, sentence, table

_CLASS = "CLASS"
_TWICE = Decided({}, {})  # with second reads, and their columns
_KINDS = {
    pa.int32(): "whole number",
    pa.int64(): "whole number",
    pa.float32(): "number",
    pa.string(): "text",
    pa.bool_(): "true or false",
    pa.list_(pa.string()): "list of codes",
}


def columns_section() -> str:
    """One row for each column, in the order of all formats."""
    rows = [
        (code(each.name), _KINDS[each.type], code(each.type), _meaning(each.name))
        for each in with_decisions(with_truth(with_duplicates(make_schema((_CLASS,)))), _TWICE)
    ]
    return table(("column", "value", "type in Parquet", "meaning"), rows)


def _meaning(column: str) -> str:
    if column == f"p_{_CLASS}":
        return (
            "A column for each class of the model, in the model's order: the probability of that class, 0 to 1. "
            "A model of more than 30 classes has others, see below."
        )
    return sentence(ResultObject.model_fields[column].description or "")
