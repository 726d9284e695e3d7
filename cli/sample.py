"""Sample data for the demo: an archive of lesion-like pictures of HAM10000's seven classes, and a few members that must fail.

The pictures are drawn by formula. They are not photographs, nobody's skin, and no model was trained or measured on them:
predictions on them mean nothing. They are there so that a fresh clone has something to screen without any download.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Floats = NDArray[np.floating]  # float32 all through; numpy's stubs lose that in sums with Python numbers
Colour = tuple[int, int, int]

WIDTH: Final = 600  # pixels, as HAM10000's originals
HEIGHT: Final = 450
_W, _H = WIDTH // 2, HEIGHT // 2  # drawn at half the size: skin is soft, and the grain comes last
_Y, _X = np.mgrid[-1.0 : 1.0 : _H * 1j, -_W / _H : _W / _H : _W * 1j].astype(np.float32)  # in half heights of the picture
_SKIN: Final[tuple[Colour, ...]] = (
    (226, 178, 164),
    (232, 190, 172),
    (214, 164, 146),
    (222, 184, 160),
    (196, 148, 124),
    (168, 118, 94),
)
_ZIP_DATE: Final = (2026, 1, 1, 0, 0, 0)


def write_sample_archive(path: Path, *, images: int = 42, seed: int = 0) -> None:
    """Writes a ZIP of drawn pictures, the classes in turn, plus three members that cannot be classified and two to be skipped.

    Args:
        path: of the ZIP; overwritten.
        images: how many pictures, 600×450 JPEG, named like `nv/nv_0001.jpg`.
        seed: the same seed draws the same pictures.
    """
    rng = np.random.default_rng(seed)
    with zipfile.ZipFile(path, "w") as archive:
        for name, picture in draw_in_turn(images, rng):
            _add(archive, name, picture)
        whole = jpeg(draw_lesion("nv", rng))
        _add(archive, "broken/truncated.jpg", whole[: len(whole) * 2 // 5])
        _add(archive, "broken/notes.jpg", b"These are notes, saved under a picture's name.\nThey are here to be refused.\n")
        _add(archive, "broken/huge.png", _huge_png())
        _add(archive, "__MACOSX/nv/._nv_0001.jpg", b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ")
        _add(archive, ".DS_Store", b"\x00\x00\x00\x01Bud1\x00\x00")


def draw_samples(images: int, seed: int = 0) -> list[tuple[str, bytes]]:
    """Names and bytes of drawn pictures, JPEG, the classes in turn."""
    return [(name.partition("/")[2], picture) for name, picture in draw_in_turn(images, np.random.default_rng(seed))]


def draw_in_turn(images: int, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Names such as `nv/nv_0001.jpg` and bytes of drawn pictures, JPEG, the classes in turn; one after the other."""
    painters = list(_PAINTERS)
    for i in range(images):
        name = painters[i % len(painters)]
        yield f"{name}/{name}_{i // len(painters) + 1:04}.jpg", jpeg(draw_lesion(name, rng))


def draw_lesion(name: str, rng: np.random.Generator) -> Image.Image:
    """One RGB picture, 600×450, of the class: nv, mel, bkl, bcc, akiec, vasc or df."""
    picture = _skin(rng)
    _PAINTERS[name](picture, rng)
    if rng.random() < 0.3:
        radius = np.hypot(_X + rng.normal(0, 0.03), _Y + rng.normal(0, 0.03))
        _paint(picture, (12, 9, 9), _step(radius - rng.uniform(1.12, 1.25), 0.05))
    half = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy())
    image = half.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    if rng.random() < 0.3:
        image.paste((46, 32, 28), mask=_hairs(rng))
    grain = Image.fromarray((128 + 7 * rng.standard_normal((HEIGHT, WIDTH), np.float32)).astype(np.uint8))
    return ImageChops.overlay(image, Image.merge("RGB", (grain,) * 3))


# --- the classes -----------------------------------------------------------------------------------------------------------


def _nevus(picture: Floats, rng: np.random.Generator) -> None:
    """Round and even, brown, a regular network that fades at the border."""
    depth = _blob(rng, rng.uniform(0.38, 0.55), wobble=0.05, rough=0.015)
    brown = _vary(rng, (150, 98, 72), 14)
    _paint(picture, brown, 0.85 * _step(depth, 0.12))
    _paint(picture, _darker(brown, 0.68), 0.65 * _step(depth - 0.2, 0.3))
    _paint(picture, _darker(brown, 0.5), 0.5 * _network(rng, 26) * _step(depth, 0.25))


def _melanoma(picture: Floats, rng: np.random.Generator) -> None:
    """Asymmetric, several colours, a ragged border, a blue-white veil, dots at the edge."""
    depth = np.maximum(
        _blob(rng, rng.uniform(0.4, 0.52), wobble=0.16, rough=0.04),
        _blob(rng, rng.uniform(0.26, 0.36), wobble=0.2, rough=0.05, at=(rng.uniform(0.25, 0.42), rng.uniform(-0.3, 0.3))),
    )
    inside = _step(depth, 0.06)
    _paint(picture, (146, 92, 66), 0.92 * inside)
    for colour, share in (((84, 48, 36), 0.1), ((40, 26, 26), 0.65), ((168, 84, 76), 0.95)):
        _paint(picture, colour, 0.85 * inside * _step(_noise(rng, 5) - share, 0.4))
    _paint(picture, (40, 26, 24), 0.35 * _network(rng, 22) * _step(depth, 0.15))
    veil = _step(_blob(rng, 0.26, wobble=0.25, rough=0.08, at=(rng.uniform(-0.2, 0.25), rng.uniform(-0.15, 0.15))), 0.2)
    _paint(picture, (134, 146, 172), 0.75 * veil * inside)
    _dots(picture, rng, _step(depth + 0.05, 0.02) * _step(-depth + 0.16, 0.05), (34, 22, 22), count=30, radius=(0.9, 2.0))


def _keratosis(picture: Floats, rng: np.random.Generator) -> None:
    """Benign keratosis: sharply bordered, waxy brown with ridges, white milia and dark comedo-like openings."""
    depth = _blob(rng, rng.uniform(0.42, 0.56), wobble=0.09, rough=0.025)
    inside = _step(depth, 0.02)
    brown = _vary(rng, (164, 120, 84), 14)
    _paint(picture, brown, 0.92 * inside)
    ridges = _step(np.abs(_noise(rng, 17)) - 0.1, 0.25)
    _paint(picture, _darker(brown, 0.66), 0.6 * inside * (1 - ridges))
    _paint(picture, _darker(brown, 0.72), 0.5 * inside * _step(-depth + 0.07, 0.06))
    _dots(picture, rng, inside, (236, 218, 186), count=18, radius=(1.5, 3.2))
    _dots(picture, rng, inside, (70, 46, 34), count=16, radius=(1.5, 3.5))


def _carcinoma(picture: Floats, rng: np.random.Generator) -> None:
    """Basal cell carcinoma: pearly pink, blue-grey ovoid nests, branching vessels in sharp focus."""
    depth = _blob(rng, rng.uniform(0.44, 0.58), wobble=0.08, rough=0.03)
    inside = _step(depth, 0.12)
    _paint(picture, (228, 160, 158), 0.75 * inside)
    _paint(picture, (246, 214, 208), 0.6 * inside * _step(_noise(rng, 6) - 0.3, 0.6))
    for _ in range(rng.integers(3, 8)):
        nest = _blob(
            rng, rng.uniform(0.05, 0.13), wobble=0.1, rough=0.02, at=tuple(rng.normal(0, 0.2, 2)), stretch=rng.uniform(1, 1.9)
        )
        _paint(picture, _vary(rng, (84, 88, 112), 10), 0.85 * _step(nest, 0.05))
    _vessels(picture, rng, inside)


def _scaly_patch(picture: Floats, rng: np.random.Generator) -> None:
    """Actinic keratosis: pink-red with a soft border, pale follicles in a red net, white-yellow scale."""
    depth = _blob(rng, rng.uniform(0.45, 0.6), wobble=0.1, rough=0.06)
    inside = _step(depth, 0.22)
    _paint(picture, (214, 112, 104), 0.75 * inside)
    _paint(picture, (176, 66, 66), 0.5 * inside * _network(rng, 17))
    _paint(picture, (244, 222, 192), 0.8 * inside * _step(_noise(rng, 12) + _noise(rng, 45) / 2 - 0.95, 0.5))
    _dots(picture, rng, inside, (238, 204, 184), count=24, radius=(1.5, 3.0))
    _paint(picture, (150, 96, 66), 0.5 * _step(_noise(rng, 7) - 1.1, 0.6) * inside)


def _vascular(picture: Floats, rng: np.random.Generator) -> None:
    """Red to purple lagoons, packed, with paler septa between."""
    radius = rng.uniform(0.3, 0.42)
    around = _blob(rng, radius + 0.1, wobble=0.06, rough=0.02)
    _paint(picture, (206, 112, 118), 0.7 * _step(around, 0.18))
    for _ in range(rng.integers(14, 24)):
        angle, reach = rng.uniform(0, 2 * math.pi), radius * math.sqrt(rng.random())
        at = (reach * math.cos(angle), reach * math.sin(angle))
        lagoon = _blob(rng, rng.uniform(0.08, 0.15), wobble=0.07, rough=0.01, at=at, stretch=rng.uniform(1, 1.4))
        colour = _vary(rng, (150, 24, 46) if rng.random() < 0.7 else (92, 26, 72), 16)
        _paint(picture, (196, 110, 116), 0.6 * _step(lagoon + 0.025, 0.03))
        _paint(picture, colour, 0.92 * _step(lagoon, 0.03))
        _paint(picture, _darker(colour, 0.7), 0.5 * _step(lagoon - 0.04, 0.05))


def _fibroma(picture: Floats, rng: np.random.Generator) -> None:
    """Dermatofibroma: a white scar in the middle, a delicate brown rim around."""
    depth = _blob(rng, rng.uniform(0.42, 0.54), wobble=0.06, rough=0.03)
    _paint(picture, _vary(rng, (176, 122, 94), 12), 0.72 * _step(depth, 0.22))
    _paint(picture, (126, 80, 58), 0.5 * _network(rng, 24) * _step(depth, 0.2))
    scar = _step(_blob(rng, rng.uniform(0.18, 0.26), wobble=0.14, rough=0.05, at=tuple(rng.normal(0, 0.04, 2))), 0.16)
    _paint(picture, (244, 226, 216), 0.85 * scar)
    _paint(picture, (226, 178, 172), 0.5 * scar * _step(_noise(rng, 22) - 0.3, 0.5))


_PAINTERS: Final[dict[str, Callable[[Floats, np.random.Generator], None]]] = {
    "nv": _nevus,
    "mel": _melanoma,
    "bkl": _keratosis,
    "bcc": _carcinoma,
    "akiec": _scaly_patch,
    "vasc": _vascular,
    "df": _fibroma,
}


# --- brushes ---------------------------------------------------------------------------------------------------------------


def _skin(rng: np.random.Generator) -> Floats:
    """Skin tone under uneven light, mottled, [3, _H, _W]."""
    tone = np.array(_vary(rng, _SKIN[rng.integers(len(_SKIN))], 6), np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    light = 1 + 0.05 * (math.cos(angle) * _X + math.sin(angle) * _Y) - 0.05 * (_X**2 + _Y**2)
    picture: Floats = tone[:, None, None] * (light + 0.015 * _noise(rng, 9) + 0.012 * _noise(rng, 60))
    _paint(picture, (208, 128, 118), 0.12 * _step(_noise(rng, 6) - 0.4, 1.2))
    return picture


def _paint(picture: Floats, colour: Colour, cover: Floats) -> None:
    """Lays a colour over the picture where `cover`, [_H, _W] of 0 to 1, says, in place."""
    for channel, value in enumerate(colour):
        picture[channel] += (value - picture[channel]) * cover


def _step(value: Floats, width: float) -> Floats:
    """0 below nought, 1 above `width`, smooth between."""
    t: Floats = np.clip(value / width, 0, 1)
    return t * t * (3 - 2 * t)


def _noise(rng: np.random.Generator, cells: int) -> Floats:
    """Smooth noise of about unit variance, with so many cells across, [_H, _W]."""
    grid = 1.3 * rng.standard_normal((cells * _H // _W + 2, cells + 1), np.float32)
    return np.asarray(Image.fromarray(grid).resize((_W, _H), Image.Resampling.BICUBIC), np.float32)


def _network(rng: np.random.Generator, cells: int) -> Floats:
    """A pigment network: the dark lines of a warped honeycomb, 0 to 1, [_H, _W]."""
    k = 4.4 * cells
    x, y = _X + 0.016 * _noise(rng, 18), _Y + 0.016 * _noise(rng, 18)
    waves: Floats = np.cos(k * x) + np.cos(k * (0.5 * x + 0.866 * y)) + np.cos(k * (0.5 * x - 0.866 * y))
    return _step(-waves + 0.4, 1.6)


def _blob(
    rng: np.random.Generator,
    radius: float,
    *,
    wobble: float,
    rough: float,
    at: tuple[float, ...] = (0.0, 0.0),
    stretch: float = 1.15,
) -> Floats:
    """Depth below the border of a closed shape, in half picture heights: positive inside, [_H, _W].

    `wobble` is the amplitude of slow waves along the border, relative to the radius; `rough` that of fine noise, absolute.
    """
    turn = rng.uniform(0, math.pi)
    dx, dy = _X - (at[0] + rng.normal(0, 0.03)), _Y - (at[1] + rng.normal(0, 0.03))
    u = (math.cos(turn) * dx + math.sin(turn) * dy) / math.sqrt(stretch)
    v = (math.cos(turn) * dy - math.sin(turn) * dx) * math.sqrt(stretch)
    angle = np.arctan2(v, u)
    depth: Floats = radius - np.hypot(u, v) + rough * _noise(rng, 24)
    for waves in (2, 3, 5):
        depth += radius * wobble / math.sqrt(waves - 1) * np.cos(waves * angle + rng.uniform(0, 2 * math.pi))
    return depth


def _dots(
    picture: Floats, rng: np.random.Generator, where: Floats, colour: Colour, *, count: int, radius: tuple[float, float]
) -> None:
    """Soft round dots of `radius` (least, most) pixels of the drawing, at random places among those where `where` is high."""
    places = np.argwhere(where > 0.7)
    if not len(places):
        return
    mask = Image.new("L", (_W, _H))
    draw = ImageDraw.Draw(mask)
    for y, x in places[rng.integers(len(places), size=count)]:
        r = rng.uniform(*radius)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=int(rng.integers(120, 230)))
    _paint(picture, colour, _cover(mask.filter(ImageFilter.GaussianBlur(0.6))))


def _vessels(picture: Floats, rng: np.random.Generator, inside: Floats) -> None:
    """Arborizing vessels: red trees that grow inwards from the border and thin out as they branch."""
    mask = Image.new("L", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(mask)
    for _ in range(rng.integers(3, 6)):
        angle = rng.uniform(0, 2 * math.pi)
        start = (WIDTH / 2 + 0.28 * HEIGHT * math.cos(angle), HEIGHT / 2 + 0.28 * HEIGHT * math.sin(angle))
        _grow(draw, rng, start, angle + math.pi + rng.normal(0, 0.4), width=3.4, steps=15)
    _paint(picture, (168, 34, 44), 0.75 * _cover(mask.resize((_W, _H), Image.Resampling.BOX)) * inside)


def _grow(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, start: tuple[float, float], angle: float, *, width: float, steps: int
) -> None:
    x, y = start
    for _ in range(steps):
        angle += rng.normal(0, 0.28)
        to = (x + 12 * math.cos(angle), y + 12 * math.sin(angle))
        draw.line((x, y, *to), fill=255, width=max(1, round(width)))
        x, y = to
        width *= 0.95
        if width > 1.6 and rng.random() < 0.22:
            _grow(draw, rng, to, angle + (0.7 if rng.random() < 0.5 else -0.7), width=0.7 * width, steps=steps * 2 // 3)


def _hairs(rng: np.random.Generator) -> Image.Image:
    """A mask of a few hairs, bent, in about one direction, [HEIGHT, WIDTH]."""
    mask = Image.new("L", (2 * WIDTH, 2 * HEIGHT))
    draw = ImageDraw.Draw(mask)
    along = rng.uniform(0, math.pi)
    for _ in range(rng.integers(3, 12)):
        angle, bend, length = along + rng.normal(0, 0.35), rng.normal(0, 90), rng.uniform(300, 800)
        x, y = rng.uniform(0, 2 * WIDTH), rng.uniform(0, 2 * HEIGHT)
        points = []
        for t in np.linspace(-1, 1, 24).tolist():
            along_it, aside = t * length, t * t * bend
            points.append(
                (
                    x + along_it * math.cos(angle) - aside * math.sin(angle),
                    y + along_it * math.sin(angle) + aside * math.cos(angle),
                )
            )
        draw.line(points, fill=200, width=int(rng.integers(3, 6)), joint="curve")
    return mask.resize((WIDTH, HEIGHT), Image.Resampling.BOX)


def _cover(mask: Image.Image) -> Floats:
    return np.asarray(mask, np.float32) / np.float32(255)


def _vary(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """A neighbouring colour: brightness and, less, hue."""
    red, green, blue = (
        round(c + common) for c, common in zip(colour, rng.normal(0, spread) + rng.normal(0, spread / 4, 3), strict=True)
    )
    return red, green, blue


def _darker(colour: Colour, factor: float) -> Colour:
    red, green, blue = (round(c * factor) for c in colour)
    return red, green, blue


# --- files -----------------------------------------------------------------------------------------------------------------


def jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=88)
    return stream.getvalue()


def _huge_png() -> bytes:
    """A PNG whose header announces 40,000 × 40,000 pixels, in about a kilobyte: what a decompression bomb looks like."""
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(5_001 * 200), 9)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), data)
