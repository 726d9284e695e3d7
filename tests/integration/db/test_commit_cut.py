"""A connection that is lost in the COMMIT itself: nobody knows whether it happened, and running it again finds out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import Engine, make_url

from core.db.chunks import Claim, finish_chunk
from core.db.engine import open_engine, retrying_transaction, transaction
from core.db.jobs import find_job_by_key
from core.db.models import LOCAL_TENANT_ID, ChunkState, JobState
from core.errors import DatabaseUnavailableError
from core.settings import DatabaseSettings
from tests.support.ledger import Ledger, outcomes_of

COMMIT = b"COMMIT\x00"  # as PostgreSQL's protocol has the text of a statement
BEFORE, AFTER = "before", "after"


class CommitCutter:
    """A TCP proxy that cuts a connection at its next COMMIT: before PostgreSQL gets it, or before the client hears of it."""

    def __init__(self, target_port: int) -> None:
        self.cut_next: str | None = None
        self.cuts = 0
        self._target_port = target_port
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Once its clients are gone."""
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in (self._accepting, *self._threads):
            thread.join(10)
        for each in (self._listening, *self._open):
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._target_port))
                self._open += [client, server]
                for work, pair in ((self._forth, (client, server)), (self._back, (server, client))):
                    thread = threading.Thread(target=work, args=pair, daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                how = self.cut_next if COMMIT in data else None
                if how is not None:
                    self.cut_next = None
                    self.cuts += 1
                    client.shutdown(socket.SHUT_WR)  # no answer comes back any more
                if how != BEFORE:
                    server.sendall(data)
                if how is not None:
                    break
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)  # which ends the session after what it has received

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        while data := server.recv(65_536):
            with suppress(OSError):
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


@contextmanager
def cut(engine: Engine) -> Iterator[tuple[CommitCutter, Engine]]:
    url = make_url(engine.url.render_as_string(hide_password=False))
    cutter = CommitCutter(url.port or 5432)
    other = open_engine(url.set(port=cutter.port).render_as_string(hide_password=False), DatabaseSettings())
    try:
        yield cutter, other
    finally:
        other.dispose()
        cutter.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("how", [BEFORE, AFTER])
def test_a_chunk_whose_commit_was_cut_has_its_rows_once(ledger: Ledger, how: str) -> None:
    job_id = ledger.start(items=24)  # six chunks
    with cut(ledger.engine) as (cutter, away):
        for number in range(6):
            claim = ledger.claim(job_id, number)
            assert claim is not None
            cutter.cut_next = how
            finished = retrying_transaction(away, lambda session, claim=claim: _finish(session, claim, ledger))  # type: ignore[misc]
            assert finished == (how == BEFORE), "what was committed is found, and not done again"
            assert ledger.rows(job_id) == 4 * (number + 1)
        assert cutter.cuts == 6
    job = ledger.job(job_id)
    assert (job.state, job.succeeded, job.failed, job.remaining) == (JobState.SUCCEEDED, 24, 0, 0)
    assert {(chunk.state, chunk.crashes) for chunk in ledger.chunks(job_id)} == {(ChunkState.DONE, 0)}


def _finish(session: object, claim: Claim, ledger: Ledger) -> bool:
    return finish_chunk(session, claim, outcomes_of(claim), ledger.clock.now())  # type: ignore[arg-type]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("how", [BEFORE, AFTER])
def test_whoever_does_not_try_again_is_told_that_the_outcome_is_open(ledger: Ledger, how: str) -> None:
    with cut(ledger.engine) as (cutter, away):
        cutter.cut_next = how
        with pytest.raises(DatabaseUnavailableError):
            Ledger(away, ledger.clock).submit(idempotency_key="one")
        with transaction(ledger.engine) as session:
            found = find_job_by_key(session, LOCAL_TENANT_ID, "one")
    assert (found is not None) == (how == AFTER)
