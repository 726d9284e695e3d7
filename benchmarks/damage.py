"""`python -m benchmarks.damage [--real FOLDER]`: of damaged pictures, how many are refused, by format and by kind of damage.

Pictures and damages are drawn from fixed seeds: the same figures each time. A damaged picture counts as refused, as the same
(no pixel of the model's input is off by more than 8 of 255), or as another picture, which is what must be rare. Undamaged ones
must not be refused. With --real, the pictures of a folder are used for JPEG, and its notes are counted.
"""

from __future__ import annotations

import argparse
import io
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, ImageFilter

from benchmarks.decoding import read_files
from core.errors import ItemError
from core.imaging import decode_image
from core.settings import ImageLimits

SIDE = 224
LIMITS = ImageLimits()
Damage = Callable[[bytearray, int, random.Random], None]
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("JPEG", {"quality": 92}),
    "JPEG, progressive": ("JPEG", {"quality": 92, "progressive": True}),
    "PNG": ("PNG", {}),
    "TIFF, uncompressed": ("TIFF", {}),
    "TIFF, LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF, deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF, JPEG": ("TIFF", {"compression": "jpeg", "quality": 92}),
    "WebP": ("WEBP", {"quality": 92}),
    "WebP, lossless": ("WEBP", {"lossless": True}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
    "HEIF": ("HEIF", {"quality": 92}),
    "AVIF": ("AVIF", {"quality": 92, "speed": 9}),
}


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="pictures of each format")
    parser.add_argument("--real", type=Path, help="a ZIP or folder of real JPEGs")
    chosen = parser.parse_args()
    sets = {name: [drawn(seed, *how) for seed in range(chosen.count)] for name, how in FORMATS.items()}
    if chosen.real:
        files = read_files(chosen.real)
        sets = {f"JPEG, {len(files)} real": files} | sets
        print_notes(files)
    kinds = list(damages())
    print("| format | " + " | ".join(kinds) + " | undamaged |\n|---|" + "---|" * (len(kinds) + 1))
    for name, files in sets.items():
        cells = [share(files, damage) for damage in damages().values()]
        print(f"| {name} | " + " | ".join(cells) + f" | {sum(decoded(data) is None for data in files)} |", flush=True)


def damages() -> dict[str, Damage]:
    """What happens to files, by name: on the bytes behind `start`, where pixels are."""

    def flipped(data: bytearray, start: int, rng: random.Random) -> None:
        data[rng.randrange(start, len(data))] ^= 1 << rng.randrange(8)

    def zeroed(count: int) -> Damage:
        def damage(data: bytearray, start: int, rng: random.Random) -> None:
            at = rng.randrange(start, max(start + 1, len(data) - count))
            data[at : at + count] = bytes(len(data[at : at + count]))

        return damage

    def cut_out(data: bytearray, start: int, rng: random.Random) -> None:
        at = rng.randrange(start, max(start + 1, len(data) - 1000))
        del data[at : at + 1000]

    def repeated(data: bytearray, start: int, rng: random.Random) -> None:
        at = rng.randrange(start, max(start + 1, len(data) - 512))
        data[at:at] = data[at : at + 512]

    def cut_off(data: bytearray, start: int, rng: random.Random) -> None:
        del data[rng.randrange(start, len(data) - 50) :]

    def tail_zeroed(data: bytearray, start: int, rng: random.Random) -> None:
        at = rng.randrange(start, len(data) - 50)
        data[at:] = bytes(len(data) - at)

    def as_text(data: bytearray, start: int, rng: random.Random) -> None:  # noqa: ARG001 - one signature
        data[:] = bytes(data).replace(b"\n", b"\r\n")

    return {
        "one bit": flipped,
        "64 zeros": zeroed(64),
        "512 zeros": zeroed(512),
        "4096 zeros": zeroed(4096),
        "1000 bytes missing": cut_out,
        "512 bytes twice": repeated,
        "cut off": cut_off,
        "tail zeroed": tail_zeroed,
        "FTP as text": as_text,
    }


def drawn(seed: int, fmt: str, options: dict[str, Any]) -> bytes:
    """A file of 400 x 300 pixels with about as much detail as a photograph."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(90, 210, (9, 12, 3), np.uint8)).resize((400, 300), Image.Resampling.BICUBIC)
    noisy = np.asarray(coarse) + rng.normal(0, 8, (300, 400, 3))
    image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8))
    stream = io.BytesIO()
    if fmt == "HEIF":
        pillow_heif.from_pillow(image).save(stream, **options)
        return stream.getvalue()
    (image.quantize(256) if fmt == "GIF" else image).save(stream, fmt, **options)
    return stream.getvalue()


def share(files: list[bytes], damage: Damage) -> str:
    """Refused of all; in brackets, how many are shown as another picture."""
    refused = other = count = 0
    for number, data in enumerate(files):
        broken = bytearray(data)
        start = data.index(b"\xff\xda") + 14 if data[:2] == b"\xff\xd8" else 200
        damage(broken, start, random.Random(number))
        if bytes(broken) == data:
            continue
        count += 1
        seen, whole = decoded(bytes(broken)), decoded(data)
        if seen is None:
            refused += 1
        elif whole is not None and np.abs(seen.astype(int) - whole).max() > 8:
            other += 1
    return f"{refused} of {count}" + (f" ({other})" if other else "")


def decoded(data: bytes) -> np.ndarray | None:
    """The model's input, or None where it is refused."""
    try:
        return decode_image(data, height=SIDE, width=SIDE, limits=LIMITS).pixels
    except ItemError:
        return None


def print_notes(files: list[bytes]) -> None:
    """How many sound pictures have which note, at the input sizes of the models."""
    for side in (28, 224):
        found: Counter[str] = Counter()
        for data in files:
            found.update(map(str, decode_image(data, height=side, width=side, limits=LIMITS).notes))
        print(f"{len(files)} pictures for a model of {side} x {side}: 0 refused, notes {dict(found)}\n")


if __name__ == "__main__":
    main()
