"""`python -m tests.support.acknowledging LEDGER JOURNAL SYNCHRONOUS`: jobs on SQLite; stdout has each commit that returned.

A line `job ID` for each job that was accepted, and `chunk ID NUMBER` for each chunk that was finished, until somebody kills it.
"""

from __future__ import annotations

import sys

from sqlalchemy import event

from core.db import engine as engines
from core.settings import DatabaseSettings
from tests.support.ledger import Ledger

CHUNKS, CHUNK_ITEMS = 8, 4


def main(path: str, journal: str, synchronous: str) -> None:
    """Go on until killed."""
    engines.SQLITE_WAL_SAFE_FROM = (0, 0, 0) if journal == "WAL" else (99, 0, 0)
    engine = engines.open_engine(f"sqlite:///{path}", DatabaseSettings())
    if synchronous != "FULL":
        event.listen(engine, "connect", lambda connection, _: connection.execute(f"PRAGMA synchronous={synchronous}"))
    ledger = Ledger(engine)
    while True:
        job_id = ledger.submit()
        say(f"job {job_id}")
        ledger.prepare(job_id, items=CHUNKS * CHUNK_ITEMS, chunk_items=CHUNK_ITEMS)
        for number in range(CHUNKS):
            if ledger.run(job_id, number):
                say(f"chunk {job_id} {number}")


def say(line: str) -> None:
    """At once: whoever reads it may count on the commit."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
