"""Results as files: streamed batch by batch in constant memory, exactly the filtered rows in the order that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Engine

from api.views import result_objects
from core.db.results import ResultFilter, ResultSort, export_results


class ExportFormat(StrEnum):
    """Formats by their file suffix."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


MEDIA_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8; header=present",
    ExportFormat.JSONL: "application/jsonl",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported: the rows of one job, with what all rows share."""

    job_id: UUID
    model: str
    classes: tuple[str, ...]
    chosen: ResultFilter
    sort: ResultSort

    def blocks(self, engine: Engine, form: ExportFormat) -> Iterator[bytes]:
        """The file. Blocking: iterate in a thread."""
        if form == ExportFormat.JSONL:
            return self._jsonl(engine)
        return self._csv(engine) if form == ExportFormat.CSV else self._parquet(engine)

    def _jsonl(self, engine: Engine) -> Iterator[bytes]:
        encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        for rows in export_results(engine, self.job_id, chosen=self.chosen, sort=self.sort):
            lines = map(encode, result_objects(rows, self.model, self.classes))
            yield ("\n".join(lines) + "\n").encode()

    def _csv(self, engine: Engine) -> Iterator[bytes]:
        from api import tables  # noqa: PLC0415 - pyarrow

        schema = tables.make_schema(self.classes)
        yield tables.csv_header(schema)
        for rows in export_results(engine, self.job_id, chosen=self.chosen, sort=self.sort):
            yield tables.csv_lines(tables.make_batch(rows, self.model, self.classes, schema))

    def _parquet(self, engine: Engine) -> Iterator[bytes]:
        from api import tables  # noqa: PLC0415 - pyarrow

        schema = tables.make_schema(self.classes)
        batches = (
            tables.make_batch(rows, self.model, self.classes, schema)
            for rows in export_results(engine, self.job_id, chosen=self.chosen, sort=self.sort)
        )
        return tables.parquet_blocks(batches, schema)
