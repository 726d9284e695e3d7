"""`python -m benchmarks.files [URL ...]`: pages and files of a large job, in this process, by the API's own code.

Printed are, for each order, the best of three reads of the first, a middle and the last page of 100 rows; and for each format
rows per second of CPU time, when the first byte is there, and by how much this process's own memory has grown. Without a URL:
a SQLite file in the present folder's file system, then a server of the PostgreSQL that is installed on this machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from itertools import chain
from pathlib import Path

from sqlalchemy import Engine

from api.results.exports import Export, ExportFormat
from benchmarks.ledger import CLASSES, Clocks, run_chunks, start
from core.db.engine import open_engine, reading
from core.db.results import Position, ResultFilter, ResultSort, position_of, read_results
from core.db.schema.migrate import upgrade
from core.settings import DatabaseSettings
from tests.support.servers import postgres_programs, running_postgres

CHUNK = 1024
PAGE = 100
ORDERS = (ResultSort.ITEM, ResultSort.RISK_DESCENDING, ResultSort.RISK)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="*", help="of empty databases, as DERMQ_DATABASE_URL has them")
    parser.add_argument("--rows", type=int, default=300_000)
    chosen = parser.parse_args()
    for url in chosen.urls:
        measure(url, chosen.rows)
    if chosen.urls:
        return
    with tempfile.TemporaryDirectory(dir=".", prefix=".files-") as folder:
        measure(f"sqlite:///{Path(folder).resolve()}/dermq.db", chosen.rows)
    if postgres_programs() is not None:
        with running_postgres(fsync=False) as server:
            measure(f"{server}/postgres", chosen.rows)


def measure(url: str, rows: int) -> None:
    """One database."""
    engine = open_engine(url, DatabaseSettings())
    upgrade(engine)
    job_id = start(engine, rows, CHUNK)
    run_chunks(engine, Clocks())
    print(f"{engine.dialect.name}, {rows:,} rows", flush=True)
    for sort in ORDERS:
        report_pages(engine, job_id, sort, rows)
    for form in chain(ExportFormat, ExportFormat):  # what is loaded at first use is no part of the second
        report_file(engine, job_id, form, rows)
    engine.dispose()


def report_pages(engine: Engine, job_id: uuid.UUID, sort: ResultSort, rows: int) -> None:
    """First, middle and last page."""
    backwards = {ResultSort.RISK: ResultSort.RISK_DESCENDING, ResultSort.RISK_DESCENDING: ResultSort.RISK}
    with reading(engine) as session:
        if sort == ResultSort.ITEM:
            last = Position(rows - PAGE - 1)
        else:
            page = read_results(session, job_id, chosen=ResultFilter(), sort=backwards[sort], limit=PAGE + 1)
            last = position_of(page[-1], sort)
    middle = Position(last.item_no // 2) if last.value is None else Position(last.item_no, 0.5)
    times = [1000 * best_page(engine, job_id, sort, after) for after in (None, middle, last)]
    print(f"  {sort:<6} first, middle, last page: {', '.join(f'{each:.1f}' for each in times)} ms", flush=True)


def best_page(engine: Engine, job_id: uuid.UUID, sort: ResultSort, after: Position | None) -> float:
    """Seconds, the best of three."""
    found = []
    for _ in range(3):
        began = time.perf_counter()
        with reading(engine) as session:
            read_results(session, job_id, chosen=ResultFilter(), sort=sort, limit=PAGE, after=after)
        found.append(time.perf_counter() - began)
    return min(found)


def report_file(engine: Engine, job_id: uuid.UUID, form: ExportFormat, rows: int) -> None:
    """One file, read to its end."""
    before = own_mb()
    began, cpu = time.perf_counter(), time.process_time()
    blocks = iter(Export(job_id, "starter", CLASSES, ResultFilter(), ResultSort.ITEM).blocks(engine, form))
    size = len(next(blocks))
    first_s = time.perf_counter() - began
    size += sum(map(len, blocks))
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - began
    rates = f"{rows / cpu:,.0f} rows/s of CPU time, {rows / seconds:,.0f} by the clock"
    grown = f"memory {own_mb() - before:+.0f} MB"
    print(f"  {form:<7} {rates}, first byte after {1000 * first_s:.0f} ms, {size / 1e6:.0f} MB, {grown}")


def own_mb() -> float:
    """This process's own memory (proc(5), smaps_rollup), MB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Private_Dirty:"))


if __name__ == "__main__":
    main()
