"""Drawn pictures, and files written byte by byte: variants that Pillow reads and cannot write."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageFilter


def scene(width: int = 64, height: int = 48) -> np.ndarray:
    """A smooth colour picture without symmetry, uint8 [height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width]
    u, v = x / width, y / height
    return np.stack([40 + 190 * u, 30 + 190 * v, 220 - 125 * u - 45 * v], axis=-1).astype(np.uint8)


@cache
def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Soft colours with fine noise: about as much detail as a dermatoscope's picture has."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(90, 210, (5, 6, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray(np.clip(smooth + rng.standard_normal(smooth.shape, np.float32) * 6, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(1)
    )


def saved(image: Image.Image, fmt: str = "JPEG", **options: Any) -> bytes:
    """The file that Pillow writes."""
    stream = io.BytesIO()
    image.save(stream, fmt, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def jpeg_segment(marker: int, body: bytes) -> bytes:
    """A JPEG marker segment with its length."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
