"""TensorFlow, imported once and quietly. Import it from here, so that its environment is set before."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STDERR = 2
# What TensorFlow 2.21 says at import whatever TF_CPP_MIN_LOG_LEVEL is: absl's lines of level INFO, its warning about itself,
# and the second half of the advice on CPU instructions.
_NOISE = re.compile(rb"I\d{4} |WARNING: All log messages before absl|To enable the following instructions")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # else one session takes the whole GPU (serving#1496)

if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg")):
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # no GPU here: else the driver's absence is reported as an error


@contextmanager
def _without_noise() -> Iterator[None]:
    """Hold back what C++ writes to stderr, then pass on the lines that say something."""
    stderr = os.dup(_STDERR)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(stderr, _STDERR)
            held.seek(0)
            os.write(stderr, b"".join(line for line in held if not _NOISE.match(line)))
            os.close(stderr)


with _without_noise():
    import tensorflow as tf

logging.getLogger("tensorflow").setLevel(logging.ERROR)  # the TF1 loader announces its deprecation at each use

__all__ = ["tf"]
