"""Results as files: streamed batch by batch in constant memory, exactly the filtered rows in the order that was asked for."""

from __future__ import annotations

import codecs
import gc
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from uuid import UUID

from sqlalchemy import Engine

from core.db.decisions import Decided
from core.db.results import ResultFilter, ResultSort, export_results
from core.evaluation.duplicates import Groups

_METADATA_BATCH = 2048  # rows with up to 64 KiB of metadata each
_COLLECTED_OBJECTS = 50_000  # objects more than there were, at which the collector looks: some MB


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
    metadata: tuple[str, ...] = ()  # columns of the table that the images come from
    bom: bool = False  # a CSV begins with a byte order mark, by which Excel knows that it is UTF-8
    decided: Decided | None = None  # None: the job has no decision, and no columns for them
    duplicates: Groups | None = None  # the first item of its group, by item; None likewise
    truths: Mapping[int, str] | None = None  # true classes by item; None likewise

    def blocks(self, engine: Engine, form: ExportFormat) -> Iterator[bytes]:
        """The file. Blocking: iterate in a thread."""
        from api.results import tables  # noqa: PLC0415 - pyarrow takes memory and a moment

        _settle_collector()
        schema = tables.make_schema(self.classes, self.metadata, as_object=form == ExportFormat.JSONL)
        narrower = {"batch": _METADATA_BATCH} if self.metadata else {}
        batches = (
            tables.make_batch(rows, self.model, self.classes, schema, self.metadata)
            for rows in export_results(engine, self.job_id, chosen=self.chosen, sort=self.sort, **narrower)
        )
        shown, decided, truths = schema, self.decided, self.truths
        alike = self.duplicates
        if alike is not None:
            batches, shown = (tables.add_duplicates(batch, alike) for batch in batches), tables.with_duplicates(shown)
        if truths is not None:
            batches, shown = (tables.add_truth(batch, truths) for batch in batches), tables.with_truth(shown)
        if decided is not None:
            batches, shown = (tables.add_decisions(batch, decided) for batch in batches), tables.with_decisions(shown, decided)
        blocks: Iterator[bytes]
        if form == ExportFormat.PARQUET:
            blocks = tables.parquet_blocks(batches, shown)
        elif form == ExportFormat.CSV:
            header = codecs.BOM_UTF8 * self.bom + tables.csv_header(shown)
            blocks = itertools.chain([header], map(tables.csv_lines, batches))
        else:
            blocks = map(tables.json_lines, batches)
        return tables.returning_memory(blocks)


@cache
def _settle_collector() -> None:
    """Once: Arrow's modules stay, and the collector need not look through them.

    Nor need it look through the rows of a batch again and again: they hold no cycles. With Python's own thresholds it does
    that each time that there are 700 objects more, which costs a third of an export.
    """
    gc.freeze()
    gc.set_threshold(_COLLECTED_OBJECTS, *gc.get_threshold()[1:])
