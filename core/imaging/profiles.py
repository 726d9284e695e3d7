"""Colour profiles (ICC.1:2022): stored values to sRGB, by LittleCMS.

The intent is relative colorimetric with black point compensation: colours that sRGB can show stay what they were. The
perceptual intent of a printer's profile shifts them, each vendor in its own way. For the profiles of cameras and phones, both
intents are the same.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from PIL import Image

from core.imaging.faults import DECODER_ERRORS, unsupported

MOST_BYTES: Final = 4 * 2**20  # of a profile; a press' are about 2 MB
_SPACES: Final = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}
_CLASSES: Final = frozenset({b"mntr", b"scnr", b"prtr", b"spac"})
_STEPS: Final = np.arange(0, 256, 15, dtype=np.uint8)
_SAME: Final = 1  # of 255: roundings of the many sRGB profiles

# CIE 1931 chromaticities: white, red, green, blue
SRGB_PRIMARIES: Final = ((0.3127, 0.329), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
ADOBE_RGB_PRIMARIES: Final = ((0.3127, 0.329), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
DISPLAY_P3_PRIMARIES: Final = ((0.3127, 0.329), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
BT2020_PRIMARIES: Final = ((0.3127, 0.329), (0.708, 0.292), (0.17, 0.797), (0.131, 0.046))
# H.273, tables 2 and 3; BT.709's camera curve is taken as sRGB's, as browsers do
_PRIMARIES_BY_CODE: Final = {1: SRGB_PRIMARIES, 2: SRGB_PRIMARIES, 9: BT2020_PRIMARIES, 12: DISPLAY_P3_PRIMARIES}
_GAMMA_BY_CODE: Final = {1: None, 2: None, 4: 2.2, 5: 2.8, 6: None, 8: 1.0, 13: None, 14: None, 15: None}
ADOBE_RGB_GAMMA: Final = 563 / 256  # Adobe RGB (1998), 4.3.1.2
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50: Final = np.array([0.9642, 1.0, 0.8249])


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The image as sRGB, in mode RGB (L where it is grey); the same image where the profile is sRGB in effect.

    Args:
        image: in mode L, RGB or CMYK, as stored.
        profile: the ICC profile of the file.

    Returns:
        None where the profile is broken, too large, or of another colour space than the image.
    """
    if len(profile) > MOST_BYTES or profile[36:40] != b"acsp" or profile[12:16] not in _CLASSES:
        return None
    if image.mode == "L" and profile[16:20] == b"RGB ":
        return _grey_to_srgb(image, profile)
    if profile[16:20] != _SPACES.get(image.mode):
        return None
    transform = _transform(hashlib.sha256(profile).digest(), _Bytes(profile), image.mode)
    if transform is None or transform is _NOTHING:
        return image if transform is _NOTHING else None
    converted: Image.Image = transform.apply(image)
    return converted


def _grey_to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Grey with a profile for colours, as a grey copy keeps it: equal amounts of red, green and blue."""
    coloured = image.convert("RGB")
    converted = to_srgb(coloured, profile)
    return image if converted is coloured else converted


class _Bytes(bytes):
    """A cached function's argument that is no part of its key: the hash beside it is."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bytes)

    def __hash__(self) -> int:
        return 0


_NOTHING: Final = object()  # a transform that changes nothing


@lru_cache(maxsize=16)
def _transform(digest: bytes, profile: _Bytes, mode: str) -> Any:  # noqa: ARG001 - the digest is the key
    """A transform of Pillow's ImageCms, _NOTHING, or None where the profile is broken."""
    from PIL import ImageCms  # noqa: PLC0415 - a worker that meets no profile does not load LittleCMS

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,
        )
        return _NOTHING if _changes_nothing(transform, mode) else transform
    except (*DECODER_ERRORS, ImageCms.PyCMSError):
        return None


def _changes_nothing(transform: Any, mode: str) -> bool:
    """Whether a grid of colours over the whole space stays as it is, but for rounding."""
    if mode == "CMYK":
        return False
    grid = np.stack(np.meshgrid(*[_STEPS] * len(mode), indexing="ij"), -1).reshape(1, -1, len(mode))
    before = Image.fromarray(grid[..., 0] if mode == "L" else grid)
    after = np.asarray(transform.apply(before)).astype(int)
    return bool(np.abs(after - grid).max() <= _SAME)


def matrix_profile(primaries: Sequence[tuple[float, float]], gamma: float | None) -> bytes:
    """A minimal ICC profile for values of known primaries: what a file without a profile says of its colours.

    Args:
        primaries: chromaticities (x, y) of white, red, green and blue.
        gamma: exponent from stored value to light, or None for the curve of sRGB (IEC 61966-2-1).

    Raises:
        ValueError: the primaries span no colour space.
    """
    white, *colours = [np.array([x, y, 1 - x - y]) / max(y, 1e-6) for x, y in primaries]
    try:
        columns = np.stack(colours, -1) * np.linalg.solve(np.stack(colours, -1), white)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"primaries {list(primaries)} span no colour space") from error
    adapt = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD
    curve = _curve(gamma)
    tags = [(b"desc", b"desc\0\0\0\0\0\0\0\2x\0" + bytes(78)), (b"cprt", b"text\0\0\0\0\0"), (b"wtpt", _xyz(_D50))]
    tags += [(name, _xyz(column)) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), (adapt @ columns).T, strict=True)]
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return _profile(tags)


@lru_cache(maxsize=1)
def adobe_rgb() -> bytes:
    """The profile that is meant by files which only say "Adobe RGB" in their EXIF."""
    return matrix_profile(ADOBE_RGB_PRIMARIES, ADOBE_RGB_GAMMA)


def coded_profile(primaries: int, transfer: int) -> bytes | None:
    """The profile for code points of ITU-T H.273, as PNG's cICP and HEIF's nclx give them.

    Returns:
        None where they mean sRGB or say nothing; empty where they are not known here.

    Raises:
        ItemError: unsupported_format, for high dynamic range (PQ, HLG): it has no white that a model was trained on.
    """
    if transfer in (16, 18):
        raise unsupported("a picture of high dynamic range (PQ or HLG)")
    if primaries not in _PRIMARIES_BY_CODE or transfer not in _GAMMA_BY_CODE:
        return b""
    chosen, gamma = _PRIMARIES_BY_CODE[primaries], _GAMMA_BY_CODE[transfer]
    return None if chosen is SRGB_PRIMARIES and gamma is None else matrix_profile(chosen, gamma)


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, min(65535, max(1, round(gamma * 256)))) + b"\0\0"
    x = np.linspace(0, 1, 1024)
    light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.round(light * 65535).astype(">u2").tobytes()


def _xyz(values: np.ndarray) -> bytes:
    fixed: bytes = np.round(np.clip(values, -30000, 30000) * 65536).astype(">i4").tobytes()
    return b"XYZ \0\0\0\0" + fixed


def _profile(tags: Sequence[tuple[bytes, bytes]]) -> bytes:
    """ICC.1:2022, 7.2 to 7.4: header, tag table, tags aligned to four bytes."""
    body, table, start = b"", struct.pack(">I", len(tags)), 128 + 4 + 12 * len(tags)
    for name, data in tags:
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), b"\0\0\0\0", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s", 2025, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    return header + _xyz(_D50)[8:] + bytes(48) + table + body
