"""Pictures that are no lesions, to try a detector on: drawn ones, and the sample photographs of scikit-learn and scikit-image.

All are drawn at four times the size and reduced, so that edges are smooth as in photographs. The same seed gives the same
pictures.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.datasets.base import UInt8Array

COUNT = 100  # of each kind
SCALE = 4
Draw = Callable[[np.random.Generator, int, int], Image.Image]
_PHOTOGRAPHS = {  # package → where in it, and which of its colour pictures
    "sklearn": ("datasets/images", {"china.jpg", "flower.jpg"}),
    "skimage": (
        "data",
        {"astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg", "ihc.png", "retina.jpg"},
    ),
}
_LETTERS = "etaoinshrdlucmfwypvbgkqjxz"


def draw_kinds(height: int, width: int, count: int = COUNT, seed: int = 0) -> dict[str, UInt8Array]:
    """uint8 [count, height, width, 3] of each kind, by its name."""
    kinds: dict[str, Draw] = {"shapes": _shapes, "text pages": _page, "noise": _noise, "flat colours": _flat}
    drawn = {}
    for number, (name, draw) in enumerate(kinds.items()):
        generator = np.random.default_rng((seed, number))
        drawn[name] = np.stack([_reduced(draw(generator, height, width), height, width) for _ in range(count)])
    return drawn


def photographs(height: int, width: int, count: int = COUNT, seed: int = 0) -> UInt8Array | None:
    """Random crops of the sample photographs that are installed here, uint8 [count, height, width, 3]; None: there are none."""
    pictures = [Image.open(path).convert("RGB") for path in _sample_files()]
    if not pictures:
        return None
    generator = np.random.default_rng(seed)
    return np.stack([_crop(generator, pictures[number % len(pictures)], height, width) for number in range(count)])


def inverted(pixels: UInt8Array) -> UInt8Array:
    """The negative of each picture."""
    return np.asarray(255 - pixels, np.uint8)


def turned(pixels: UInt8Array) -> UInt8Array:
    """Each picture upside down: no less a lesion than before."""
    return np.ascontiguousarray(pixels[:, ::-1, ::-1])


def _sample_files() -> Iterator[Path]:
    """Colour photographs that scikit-learn and scikit-image bring along."""
    for package, (folder, names) in _PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            found = Path(spec.origin).parent / folder
            yield from sorted(path for path in found.glob("*") if path.name in names)


def _crop(generator: np.random.Generator, picture: Image.Image, height: int, width: int) -> UInt8Array:
    share = generator.uniform(0.3, 1.0)
    wide, high = int(picture.width * share), int(picture.height * share)
    left, top = generator.integers(picture.width - wide + 1), generator.integers(picture.height - high + 1)
    part = picture.crop((int(left), int(top), int(left) + wide, int(top) + high))
    return np.asarray(part.resize((width, height), Image.Resampling.LANCZOS), np.uint8)


def _reduced(picture: Image.Image, height: int, width: int) -> UInt8Array:
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX), np.uint8)


def _colour(generator: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in generator.integers(0, 256, 3))
    return red, green, blue


def _canvas(colour: tuple[int, int, int], height: int, width: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (SCALE * width, SCALE * height), colour)
    return picture, ImageDraw.Draw(picture)


def _shapes(generator: np.random.Generator, height: int, width: int) -> Image.Image:
    picture, pen = _canvas(_colour(generator), height, width)
    for _ in range(generator.integers(3, 10)):
        left, right = sorted(int(x) for x in generator.integers(0, SCALE * width, 2))
        top, bottom = sorted(int(y) for y in generator.integers(0, SCALE * height, 2))
        draw = (pen.ellipse, pen.rectangle)[generator.integers(2)]
        draw((left, top, right, bottom), fill=_colour(generator))
        pen.line((left, bottom, right, top), fill=_colour(generator), width=2 * SCALE)
    return picture


def _page(generator: np.random.Generator, height: int, width: int) -> Image.Image:
    picture, pen = _canvas((int(generator.integers(235, 256)),) * 3, height, width)
    size = int(generator.integers(SCALE * height // 24, SCALE * height // 8) + 6)
    font, ink = ImageFont.load_default(size), (int(generator.integers(0, 60)),) * 3
    for top in range(size // 2, SCALE * height - size, int(1.4 * size)):
        words = ["".join(generator.choice(list(_LETTERS), generator.integers(2, 10))) for _ in range(40)]
        line = " ".join(words)[: generator.integers(10, 200)]
        pen.text((SCALE * width // 12, top), line, fill=ink, font=font)
    return picture


def _noise(generator: np.random.Generator, height: int, width: int) -> Image.Image:
    """Independent values for each pixel or for squares of 2, 4 or 8 pixels, grey or coloured."""
    cell = int(2 ** generator.integers(0, 4))
    channels = (1, 3)[generator.integers(2)]
    values = generator.integers(0, 256, (-(-height // cell), -(-width // cell), channels), dtype=np.uint8)
    picture = Image.fromarray(np.repeat(values, 3 // channels, axis=2))
    return picture.resize((SCALE * cell * picture.width, SCALE * cell * picture.height), Image.Resampling.NEAREST).crop(
        (0, 0, SCALE * width, SCALE * height)
    )


def _flat(generator: np.random.Generator, height: int, width: int) -> Image.Image:
    return _canvas(_colour(generator), height, width)[0]
