"""`python -m tests.support.faulty_worker`: a real worker whose decoder dies, or hangs, on images that ask for it."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from core.imaging import UnexaminedImage, decode_unexamined
from worker import batches
from worker.__main__ import main

SEGFAULT = b"please-segfault"
HANG = b"please-hang"
DAWDLE = b"please-dawdle"


def faulty_decode(data: bytes, **options: Any) -> UnexaminedImage:
    """As `decode_unexamined`, but for three kinds of bytes."""
    if SEGFAULT in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    if HANG in data:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # as native code that never returns to the interpreter
        time.sleep(3600)
    if DAWDLE in data:
        time.sleep(3600)  # the soft time limit gets through to this one
    return decode_unexamined(data, **options)


if __name__ == "__main__":
    batches.decode_unexamined = faulty_decode  # type: ignore[attr-defined]
    sys.exit(main(sys.argv[1:]))
