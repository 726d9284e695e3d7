"""Rows of the table of formats: TIFF. Each draws a file of one property, and says what must come out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from core.errors import ItemErrorCode
from tests.support.image_rows import GREY, HEIGHT, RGB, SCENE, WIDTH, Row, over_white, turned
from tests.support.pictures import saved
from tests.support.tiffs import Tag, picture_tags, tiff

_UNSUPPORTED = ItemErrorCode.UNSUPPORTED_FORMAT
_ALPHA = np.where(np.arange(WIDTH) < WIDTH // 2, 255, 100).astype(np.uint8)[None].repeat(HEIGHT, 0)
_REVERSED = np.array([int(f"{value:08b}"[::-1], 2) for value in range(256)], np.uint8)


def one(bits: list[int], photometric: int, strips: list[bytes], *more: Tag, order: str = "<") -> bytes:
    return tiff((picture_tags(WIDTH, HEIGHT, bits, photometric, *more), strips), order=order)


def packed(values: np.ndarray, bits: int) -> bytes:
    """Values of a few bits, the highest first, rows padded to bytes."""
    places = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(places.reshape(HEIGHT, -1).astype(np.uint8), axis=1).tobytes()


def coarse(bits: int) -> np.ndarray:
    return (GREY.astype(int) * (2**bits - 1) + 127) // 255


def grey_of(bits: int) -> np.ndarray:
    """What `coarse` means, in eight bits."""
    return coarse(bits) >> (bits - 8) if bits > 8 else coarse(bits) * 255 // (2**bits - 1)


def palette(bits: int) -> tuple[np.ndarray, list[int], np.ndarray]:
    """Indices, the colour map's 3 x 2**bits values of eight bits, and the colours that are meant."""
    image = Image.fromarray(SCENE).quantize(2**bits)
    colours = np.zeros((2**bits, 3), int)
    given = np.array(image.getpalette()).reshape(-1, 3)[: 2**bits]
    colours[: len(given)] = given
    return np.asarray(image), colours.T.reshape(-1).tolist(), colours[np.asarray(image)]


def tiff_rows() -> Iterator[Row]:
    for bits in (1, 2, 4, 8, 12, 16):
        for photometric, name in ((1, "0 is black"), (0, "0 is white")):
            values = coarse(bits) if photometric else 2**bits - 1 - coarse(bits)
            data = values.astype("<u2").tobytes() if bits == 16 else packed(values, bits)
            yield Row(
                "TIFF", f"grey, {bits} bits, {name}", one([bits], photometric, [data]), grey_of(bits), reference="tiff2rgba"
            )
    big = coarse(16).astype(">u2").tobytes()
    yield Row("TIFF", "grey, 16 bits, big-endian", one([16], 1, [big], order=">"), grey_of(16), reference="tiff2rgba")
    for order, name in (("<", "little"), (">", "big")):
        wide = (SCENE.astype(int) * 257).astype(f"{order}u2").tobytes()
        yield Row("TIFF", f"RGB, 16 bits, {name}-endian", one([16] * 3, 2, [wide], order=order), RGB, reference="tiff2rgba")
    yield Row("TIFF", "RGB, strips of 5 rows", strips_of(5), RGB, reference="tiff2rgba")
    yield Row("TIFF", "RGB, tiles", tiled(), RGB, reference="tiff2rgba")
    planes = [SCENE[..., n].tobytes() for n in range(3)]
    yield Row("TIFF", "RGB, separate planes", one([8] * 3, 2, planes, (284, 3, [2])), RGB, reference="tiff2rgba")
    wide_planes = [(SCENE[..., n].astype(int) * 257).astype("<u2").tobytes() for n in range(3)]
    yield Row("TIFF", "RGB, separate planes, 16 bits", one([16] * 3, 2, wide_planes, (284, 3, [2])), _UNSUPPORTED)
    single = one([8], 0, [(255 - GREY).tobytes()], (284, 3, [2]))
    yield Row("TIFF", "grey, 0 is white, said to be in planes", single, GREY, reference="tiff2rgba")
    yield Row(
        "TIFF", "bits of a byte reversed (FillOrder 2)", one([8] * 3, 2, [_REVERSED[SCENE].tobytes()], (266, 3, [2])), RGB
    )
    yield from palettes()
    yield from alphas()
    yield from colour_spaces()
    yield from refused()
    yield from pages()
    for turn in range(1, 9):
        yield Row("TIFF", f"orientation {turn}", one([8] * 3, 2, [SCENE.tobytes()], (274, 3, [turn])), turned(turn))


def strips_of(rows_each: int) -> bytes:
    strips = [SCENE[at : at + rows_each].tobytes() for at in range(0, HEIGHT, rows_each)]
    return one([8] * 3, 2, strips, (278, 3, [rows_each]))


def tiled() -> bytes:
    padded = np.pad(SCENE, ((0, 64 - HEIGHT), (0, 96 - WIDTH), (0, 0)))
    tiles = [padded[y : y + 32, x : x + 48].tobytes() for y in (0, 32) for x in (0, 48)]
    return one([8] * 3, 2, tiles, (322, 3, [48]), (323, 3, [32]))


def palettes() -> Iterator[Row]:
    for bits in (4, 8):
        indices, colours, meant = palette(bits)
        for factor, name in ((257, "16 bits"), (1, "8 bits by mistake")):
            data = one([bits], 3, [packed(indices, bits)], (320, 3, [value * factor for value in colours]))
            yield Row("TIFF", f"palette, {bits} bits, its colours of {name}", data, meant, reference="tiff2rgba")


def alphas() -> Iterator[Row]:
    over = over_white(SCENE, _ALPHA)
    premultiplied = (SCENE.astype(int) * _ALPHA[..., None] // 255).astype(np.uint8)
    grey_premultiplied = (GREY.astype(int) * _ALPHA // 255).astype(np.uint8)
    for bits in (8, 16):
        factor, kind = (1, np.uint8) if bits == 8 else (257, np.dtype("<u2"))

        def samples(*channels: np.ndarray, factor: int = factor, kind: object = kind) -> list[bytes]:
            return [(np.dstack(channels).astype(int) * factor).astype(kind).tobytes()]  # type: ignore[call-overload, no-any-return]

        yield Row(
            "TIFF", f"alpha, {bits} bits, not premultiplied", one([bits] * 4, 2, samples(SCENE, _ALPHA), (338, 3, [2])), over, 1
        )
        yield Row(
            "TIFF",
            f"alpha, {bits} bits, premultiplied",
            one([bits] * 4, 2, samples(premultiplied, _ALPHA), (338, 3, [1])),
            over,
            2,
        )
        yield Row(
            "TIFF",
            f"a fourth sample without meaning, {bits} bits",
            one([bits] * 4, 2, samples(SCENE, _ALPHA), (338, 3, [0])),
            RGB,
        )
    grey = over_white(GREY[..., None].repeat(3, -1), _ALPHA)
    yield Row("TIFF", "grey with alpha", one([8] * 2, 1, [np.dstack([GREY, _ALPHA]).tobytes()], (338, 3, [2])), grey, 1)
    data = one([8] * 2, 1, [np.dstack([grey_premultiplied, _ALPHA]).tobytes()], (338, 3, [1]))
    yield Row("TIFF", "grey with alpha, premultiplied", data, grey, 2)
    yield Row("TIFF", "a fourth sample, nothing said", one([8] * 4, 2, [np.dstack([SCENE, _ALPHA]).tobytes()]), _UNSUPPORTED)


def colour_spaces() -> Iterator[Row]:
    cmyk = 255 - np.dstack([SCENE, np.full((HEIGHT, WIDTH), 255, np.uint8)])
    yield Row("TIFF", "CMYK", one([8] * 4, 5, [cmyk.tobytes()]), RGB, 1, reference="tiff2rgba")
    ycbcr = np.asarray(Image.fromarray(SCENE).convert("YCbCr"))
    yield Row("TIFF", "YCbCr", one([8] * 3, 6, [ycbcr.tobytes()], (530, 3, [1, 1])), RGB, 2, reference="tiff2rgba")
    jpeg = saved(Image.fromarray(SCENE), "TIFF", compression="jpeg", quality=95)
    yield Row("TIFF", "YCbCr or RGB as JPEG", jpeg, RGB, 6, reference="tiff2rgba")


def refused() -> Iterator[Row]:
    ycbcr = np.asarray(Image.fromarray(SCENE).convert("YCbCr"))
    floats = (GREY / np.float32(255)).astype("<f4").tobytes()
    for name, data in (
        ("YCbCr, subsampled, uncompressed", one([8] * 3, 6, [ycbcr.tobytes()], (530, 3, [2, 2]))),
        (
            "YCbCr with a range of its own",
            one([8] * 3, 6, [ycbcr.tobytes()], (530, 3, [1, 1]), (532, 5, [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1])),
        ),
        ("signed samples", one([8], 1, [GREY.tobytes()], (339, 3, [2]))),
        ("floating point", one([32], 1, [floats], (339, 3, [3]))),
        ("32-bit integers", one([32], 1, [GREY.astype("<u4").tobytes()])),
        ("L*a*b*", one([8] * 3, 8, [SCENE.tobytes()])),
        ("other inks than CMYK", one([8] * 4, 5, [bytes(WIDTH * HEIGHT * 4)], (332, 3, [2]))),
        ("CMYK with a range of its own", one([8] * 4, 5, [bytes(WIDTH * HEIGHT * 4)], (336, 3, [16, 235]))),
        ("no word on what 0 is", tiff(([t for t in picture_tags(WIDTH, HEIGHT, [8], 1) if t[0] != 262], [GREY.tobytes()]))),
        ("reversed bits in compressed strips", one([8], 1, [GREY.tobytes()], (266, 3, [2]), (259, 3, [8]))),
        ("old-style JPEG", one([8] * 3, 6, [bytes(9000)], (259, 3, [6]))),
    ):
        yield Row("TIFF", name, data, _UNSUPPORTED)


def pages() -> Iterator[Row]:
    small = (picture_tags(8, 6, [8] * 3, 2, (254, 4, [1])), [bytes(144)])
    whole = (picture_tags(WIDTH, HEIGHT, [8] * 3, 2), [SCENE.tobytes()])
    other = (picture_tags(8, 6, [8] * 3, 2), [bytes(144)])
    sensor = (picture_tags(WIDTH, HEIGHT, [16], 32803), [bytes(WIDTH * HEIGHT * 2)])
    yield Row("TIFF", "two pages: the first, with a note", tiff(whole, other), RGB, notes="extra_pages")
    yield Row("TIFF", "a preview before the picture: the picture", tiff(small, whole), RGB)
    yield Row("TIFF", "a preview only", tiff(small), _UNSUPPORTED)
    yield Row("TIFF", "a raw photograph behind a preview", tiff(small, sensor), _UNSUPPORTED)
    dng = (picture_tags(8, 6, [8] * 3, 2, (254, 4, [1]), (50706, 1, [1, 4, 0, 0])), [bytes(144)])
    yield Row("TIFF", "a raw photograph (DNG)", tiff(dng), _UNSUPPORTED)
