"""The policy for interruptions: each kind of error is judged by its type, once, for both tasks."""

from __future__ import annotations

import signal
import zlib
from collections.abc import Iterator

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from core.archives.inflate import DEFLATED, unpack
from core.errors import ArchiveError, DatabaseUnavailableError, NotFoundError, ServingUnavailableError
from worker.interruption import Interruption, judge


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ServingUnavailableError("away"), Interruption.OUTAGE),
        (DatabaseUnavailableError("away"), Interruption.OUTAGE),
        (ArchiveError("cut"), Interruption.JOB_FAULT),
        (NotFoundError("gone"), Interruption.JOB_FAULT),
        (SoftTimeLimitExceeded(), Interruption.TIME_LIMIT),
        (KeyError("a bug"), Interruption.BUG),
        (MemoryError(), Interruption.BUG),
        (SystemExit(0), Interruption.SHUTDOWN),
        (KeyboardInterrupt(), Interruption.SHUTDOWN),
    ],
)
def test_each_kind_is_judged_by_its_type(error: BaseException, kind: Interruption) -> None:
    assert judge(error) is kind


@pytest.fixture
def striking() -> Iterator[None]:
    """The soft time limit as Celery delivers it: an exception from a signal handler."""

    def strike(*_: object) -> None:
        raise SoftTimeLimitExceeded

    previous = signal.signal(signal.SIGALRM, strike)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.usefixtures("striking")
def test_a_time_limit_that_strikes_in_a_decompressor_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(bytes(1000)) + packer.flush()

    class Struck:
        """A decompressor that the limit strikes in the middle of its work."""

        def __getattr__(self, name: str) -> object:
            signal.raise_signal(signal.SIGALRM)
            raise AssertionError("the signal's handler raises first")

    monkeypatch.setattr("core.archives.inflate.ZlibDecoder", lambda *_: Struck())
    with pytest.raises(SoftTimeLimitExceeded):
        unpack(DEFLATED, data, 1000)
