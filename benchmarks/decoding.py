"""`python -m benchmarks.decoding ARCHIVE_OR_FOLDER --size 224`: images that one core decodes in a second, as workers do it.

Counted is the CPU time of the thread, not the clock, so that other work on the machine disturbs little. Reading is left out:
every file is in memory before the count starts. Printed are the best of the rounds, and the mean size of a file. Beside it,
Pillow alone decodes the same files (draft, convert, resize: no check, no note), turn by turn, and the ratio is printed.
"""

from __future__ import annotations

import argparse
import io
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from core.imaging import decode_image
from core.settings import ImageLimits

MOST = 20_000  # files


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a ZIP of images, or a folder")
    parser.add_argument("--size", type=int, nargs="+", default=[224], help="the model's input height and width, pixels")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    files = read_files(chosen.source)
    print(f"{len(files)} files of {sum(map(len, files)) / len(files) / 1000:.1f} kB on average")
    for size in chosen.size:
        rounds = [(decode_all(files, size), decode_by_pillow(files, size)) for _ in range(chosen.rounds)]
        best, pillow = (min(times) for times in zip(*rounds, strict=True))
        print(f"  to {size} x {size}: {len(files) / best:6.0f} images/s on one core ({1000 * best / len(files):.2f} ms each)")
        print(f"    Pillow alone: {1000 * pillow / len(files):.2f} ms each; {pillow / best:.2f} times as fast as Pillow")


def read_files(source: Path) -> list[bytes]:
    """The first files of an archive or folder."""
    if source.is_dir():
        return [path.read_bytes() for path in sorted(source.iterdir())[:MOST]]
    with zipfile.ZipFile(source) as archive:
        return [archive.read(name) for name in archive.namelist()[:MOST] if not name.endswith("/")]


def decode_all(files: Sequence[bytes], size: int) -> float:
    """CPU seconds of this thread."""
    limits, out = ImageLimits(), np.empty((size, size, 3), np.uint8)
    began = time.thread_time()
    for data in files:
        decode_image(data, height=size, width=size, limits=limits, out=out)
    return time.thread_time() - began


def decode_by_pillow(files: Sequence[bytes], size: int) -> float:
    """CPU seconds of this thread, for the shortest way to the same array with Pillow."""
    out = np.empty((size, size, 3), np.uint8)
    began = time.thread_time()
    for data in files:
        image = Image.open(io.BytesIO(data))
        drafted = image.draft(None, (2 * size, 2 * size))
        box = drafted[1] if drafted else None
        out[...] = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0))
    return time.thread_time() - began


if __name__ == "__main__":
    main()
