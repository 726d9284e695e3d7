"""`python -m benchmarks.ledger [URL ...]`: what a row costs in an empty database, by the ledger's own code.

One job of ROWS items with probabilities as a model of seven classes gives them. One client takes its chunks one after the other
as a worker does: the transaction that ends a chunk claims the next one, and a chunk has as many items as DermQ gives a fast
model by default. The outcomes are drawn while the clock stands still. Printed are rows per second,
this client's CPU time per row and per chunk, and how long the job's deletion takes; on PostgreSQL also bytes per row of each
table and index, and bytes of write-ahead log per row. Without a URL: a SQLite file in the present folder's file system, then a
server of the PostgreSQL that is installed on this machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from core.db.chunks import Claim, claim_next, finish_chunk
from core.db.engine import open_engine, transaction
from core.db.jobs import NewJob, create_job
from core.db.lifecycle import delete_job
from core.db.maintenance.erasing import erase_job
from core.db.models import LOCAL_TENANT_ID
from core.db.outcomes import ItemOutcome
from core.db.preparing import ChunkPlan, PreparedJob, claim_prepare, start_job
from core.db.schema.migrate import upgrade
from core.db.window import WindowPolicy
from core.settings import DatabaseSettings
from tests.support.servers import postgres_programs, running_postgres

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MALIGNANT = (0, 1, 4)
POLICY = WindowPolicy(16, 30.0)
_SIZES = """
    SELECT c.relname, c.relkind, pg_relation_size(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'i') AND pg_relation_size(c.oid) > 65536
    ORDER BY 3 DESC
"""


@dataclass
class Clocks:
    """Seconds in the ledger's functions, by the clock and of this process's CPU."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what is done within."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall_s += time.perf_counter() - wall
        self.cpu_s += time.process_time() - cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="*", help="of empty databases, as DERMQ_DATABASE_URL has them")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--chunk", type=int, default=1024, help="rows of a chunk (default: as DERMQ_WORKER_CHUNK_ITEMS)")
    chosen = parser.parse_args()
    for url in chosen.urls:
        measure(url, chosen.rows, chosen.chunk)
    if chosen.urls:
        return
    with tempfile.TemporaryDirectory(dir=".", prefix=".ledger-") as folder:
        measure(f"sqlite:///{Path(folder).resolve()}/dermq.db", chosen.rows, chosen.chunk)
    if postgres_programs() is not None:
        with running_postgres(fsync=True) as server:
            measure(f"{server}/postgres", chosen.rows, chosen.chunk)


def measure(url: str, rows: int, chunk: int) -> None:
    """One database."""
    engine = open_engine(url, DatabaseSettings())
    upgrade(engine)
    job_id = start(engine, rows, chunk)
    is_postgres = engine.dialect.name == "postgresql"
    wal = _scalar(engine, "SELECT pg_current_wal_lsn() - '0/0'") if is_postgres else 0
    clocks, chunks = Clocks(), -(-rows // chunk)
    run_chunks(engine, clocks)
    print(f"{engine.dialect.name}: {rows / clocks.wall_s:,.0f} rows/s, one client, {rows:,} rows in chunks of {chunk}")
    print(
        f"  this client's CPU: {1e6 * clocks.cpu_s / rows:.1f} microseconds a row, {1000 * clocks.cpu_s / chunks:.2f} ms a "
        f"chunk; by the clock {1000 * clocks.wall_s / chunks:.2f} ms a chunk"
    )
    if is_postgres:
        logged = _scalar(engine, "SELECT pg_current_wal_lsn() - '0/0'") - wal
        print(f"  write-ahead log: {logged / rows:.0f} bytes a row")
        report(engine, rows)
    began = time.perf_counter()
    with transaction(engine) as session:
        delete_job(session, LOCAL_TENANT_ID, job_id, datetime.now(UTC))
    hidden = time.perf_counter()
    erase_job(engine, job_id)
    print(
        f"  deleting the job: {hidden - began:.2f} s until it is gone, {time.perf_counter() - hidden:.1f} s until its rows are"
    )
    engine.dispose()


def start(engine: Engine, rows: int, chunk: int) -> uuid.UUID:
    """A running job with all its chunks."""
    now = datetime.now(UTC)
    new = NewJob(LOCAL_TENANT_ID, "bench.zip", {"kind": "path", "path": "/bench.zip"}, "starter")
    plans = [ChunkPlan(first, min(chunk, rows - first), first * 60, chunk * 60) for first in range(0, rows, chunk)]
    archive = {"kind": "zip", "where": "storage", "location": "k", "name": "bench.zip", "root": ""}
    with transaction(engine) as session:
        create_job(session, new, now)
    with transaction(engine) as session:
        claim = claim_prepare(session, new.id, owner="bench", now=now, lease_s=3600)
        if claim is None:
            raise RuntimeError("the new job could not be claimed: is the database empty?")
        start_job(session, claim, PreparedJob(archive, 1, {"classes": list(CLASSES)}, 0, plans), POLICY, now)
    return new.id


def run_chunks(engine: Engine, clocks: Clocks) -> None:
    """Claim and finish chunk after chunk, until none is left."""
    with clocks.running(), transaction(engine) as session:
        claim = _claim(session)
    while claim is not None:
        outcomes = list(classify(claim.item_numbers))
        with clocks.running(), transaction(engine) as session:
            finish_chunk(session, claim, outcomes, datetime.now(UTC))
            claim = _claim(session)


def _claim(session: Session) -> Claim | None:
    return claim_next(session, owner="bench", now=datetime.now(UTC), lease_s=90)


def classify(items: list[int] | tuple[int, ...]) -> Iterator[ItemOutcome]:
    """Outcomes in a model's shape, named as HAM10000's images are; seeded by the first item."""
    drawn = np.random.default_rng(items[0]).dirichlet(np.full(len(CLASSES), 0.3), len(items)).astype("<f4")
    for item, probabilities in zip(items, drawn, strict=True):
        best = int(probabilities.argmax())
        risk = float(probabilities[list(MALIGNANT)].sum())
        yield ItemOutcome(
            item,
            f"ISIC_{24306 + item:07d}.jpg",
            label=CLASSES[best],
            score=float(probabilities[best]),
            risk=risk,
            probabilities=probabilities.tobytes(),
            flag=risk > 0.2,
            width=600,
            height=450,
        )


def report(engine: Engine, rows: int) -> None:
    """Bytes per row, relation by relation."""
    with engine.connect() as connection:
        sizes = connection.execute(text(_SIZES)).all()
    for name, kind, size in sizes:
        print(f"  {name:<44} {'index' if kind == 'i' else 'table':<6} {size / rows:7.1f} bytes a row")
    total = _scalar(engine, "SELECT pg_total_relation_size('results')")
    print(f"  results with its indexes: {total / rows:.0f} bytes a row")


def _scalar(engine: Engine, sql: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(sql)).scalar_one())


if __name__ == "__main__":
    main()
