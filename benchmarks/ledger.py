"""`python -m benchmarks.ledger URL ARCHIVE.zip`: what a row costs in an empty PostgreSQL database, by the ledger's own code.

One job of ROWS items, named as the archive's members are, with probabilities as a model of seven classes gives them. Its chunks
are claimed and finished one after the other by one client, as a worker does it. Printed are rows per second, this client's CPU
time, bytes per row of each table and index, bytes of write-ahead log per row, and how long the job's end by retention takes.
"""

from __future__ import annotations

import argparse
import time
import uuid
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, text

from core.db.chunks import claim_chunk, finish_chunk
from core.db.engine import open_engine, transaction
from core.db.jobs import NewJob, create_job
from core.db.lifecycle import delete_job
from core.db.models import LOCAL_TENANT_ID
from core.db.outcomes import ItemOutcome
from core.db.preparing import ChunkPlan, PreparedJob, claim_prepare, start_job
from core.db.schema.migrate import upgrade
from core.db.window import WindowPolicy
from core.settings import DatabaseSettings

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MALIGNANT = (0, 1, 4)
CHUNK = 256
POLICY = WindowPolicy(16, 30.0)
_SIZES = """
    SELECT c.relname, c.relkind, pg_relation_size(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'i') AND pg_relation_size(c.oid) > 65536
    ORDER BY 3 DESC
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="postgresql+psycopg://… of an empty database")
    parser.add_argument("archive", type=Path, help="whose members' names are used")
    parser.add_argument("--rows", type=int, default=200_000)
    chosen = parser.parse_args()
    with zipfile.ZipFile(chosen.archive) as archive:
        names = archive.namelist()
    engine = open_engine(chosen.url, DatabaseSettings())
    upgrade(engine)
    job_id = start(engine, chosen.rows)
    wal = _scalar(engine, "SELECT pg_current_wal_lsn() - '0/0'")
    began, busy = time.perf_counter(), time.process_time()
    for chunk_no in range(-(-chosen.rows // CHUNK)):
        run_chunk(engine, job_id, chunk_no, names)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    logged = _scalar(engine, "SELECT pg_current_wal_lsn() - '0/0'") - wal
    print(f"{chosen.rows} rows in {seconds:.1f} s: {chosen.rows / seconds:.0f} rows/s, one client, chunks of {CHUNK}")
    print(f"of this client's CPU: {1e6 * busy / chosen.rows:.0f} microseconds a row")
    print(f"write-ahead log: {logged / chosen.rows:.0f} bytes a row")
    report(engine, chosen.rows)
    began = time.perf_counter()
    with transaction(engine) as session:
        delete_job(session, LOCAL_TENANT_ID, job_id)
    print(f"deleting the job: {time.perf_counter() - began:.1f} s")
    engine.dispose()


def start(engine: Engine, rows: int) -> uuid.UUID:
    """A running job with all its chunks."""
    now = datetime.now(UTC)
    new = NewJob(LOCAL_TENANT_ID, "bench.zip", {"kind": "path", "path": "/bench.zip"}, "starter")
    plans = [ChunkPlan(first, min(CHUNK, rows - first), first * 60, CHUNK * 60) for first in range(0, rows, CHUNK)]
    archive = {"kind": "zip", "where": "storage", "location": "k", "name": "bench.zip", "root": ""}
    with transaction(engine) as session:
        create_job(session, new, now)
    with transaction(engine) as session:
        claim = claim_prepare(session, new.id, owner="bench", now=now, lease_s=3600)
        if claim is None:
            raise RuntimeError("the new job could not be claimed: is the database empty?")
        start_job(session, claim, PreparedJob(archive, 1, {"classes": list(CLASSES)}, 0, plans), POLICY, now)
    return new.id


def run_chunk(engine: Engine, job_id: uuid.UUID, chunk_no: int, names: list[str]) -> None:
    """Claim and finish, in two transactions."""
    now = datetime.now(UTC)
    with transaction(engine) as session:
        claim = claim_chunk(session, job_id, chunk_no, owner="bench", now=now, lease_s=90)
    if claim is None:
        raise RuntimeError(f"chunk {chunk_no} could not be claimed")
    outcomes = list(classify(claim.item_numbers, names))
    with transaction(engine) as session:
        finish_chunk(session, claim, outcomes, POLICY, datetime.now(UTC))


def classify(items: list[int] | range, names: list[str]) -> Iterator[ItemOutcome]:
    """Outcomes in a model's shape; seeded by the first item."""
    random = np.random.default_rng(items[0])
    for item in items:
        probabilities = random.dirichlet(np.full(len(CLASSES), 0.3)).astype("<f4")
        best = int(probabilities.argmax())
        risk = float(probabilities[list(MALIGNANT)].sum())
        yield ItemOutcome(
            item,
            names[item % len(names)],
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
    print(f"results with its indexes: {total / rows:.0f} bytes a row")


def _scalar(engine: Engine, sql: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(sql)).scalar_one())


if __name__ == "__main__":
    main()
