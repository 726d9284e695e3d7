"""A process that may not allocate without end: the image that needs more fails, the next one does not."""

from __future__ import annotations

import subprocess
import sys

_CODE = """
import numpy
from core.errors import ItemError
from core.imaging import decode_image
from core.memorylimit import limit_memory
from core.settings import ImageLimits
from tests.support.hostile import white, good_picture

drawn = good_picture(1), white(), good_picture(2)
limit_memory(300 * 1024**2)
for data in drawn:
    try:
        decode_image(data, height=32, width=32, limits=ImageLimits())
        print("decoded")
    except ItemError as error:
        print(error.code)
limit_memory(10**12)
try:
    bytearray(400 * 1024**2)
except MemoryError:
    print("the stricter limit stays")
"""


def test_an_image_that_needs_more_memory_fails_and_its_neighbours_do_not() -> None:
    done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:4] == ["decoded", "too_many_pixels", "decoded", "the stricter limit stays"], done.stderr
