"""TensorFlow, imported once and quietly. Import it from here, so that its environment is set before."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STDERR = 2
# What TensorFlow 2.21 says at import whatever TF_CPP_MIN_LOG_LEVEL is: absl's lines of level INFO, its warning about itself,
# and the second half of the advice on CPU instructions.
_NOISE = [rb"I\d{4} ", rb"WARNING: All log messages before absl", rb"To enable the following instructions"]
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")  # of Linux's driver, of WSL's

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # else one session takes the whole GPU (serving#1496)

if not any(Path(device).exists() for device in _GPU_DEVICES):
    _NOISE.append(rb"E.*failed call to cuInit")  # an error only where there is a GPU


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
            os.write(stderr, b"".join(line for line in held if not re.match(b"|".join(_NOISE), line)))
            os.close(stderr)


@contextmanager
def _without_keras() -> Iterator[None]:
    """Hold back Keras, which TensorFlow imports at once for Python objects that a served graph does not have.

    Keras imports scikit-learn and matplotlib where it finds them: half of the seconds of a start. A later `import keras`
    works as ever.
    """
    if "keras" in sys.modules:
        yield
        return
    sys.modules["keras"] = None  # type: ignore[assignment]  # the import system's mark: raise ModuleNotFoundError
    try:
        yield
    finally:
        del sys.modules["keras"]


with _without_noise(), _without_keras():
    import tensorflow as tf

    tf.config.list_physical_devices()  # looks for a GPU now rather than at the first session

logging.getLogger("tensorflow").setLevel(logging.ERROR)  # the TF1 loader announces its deprecation at each use

__all__ = ["tf"]
