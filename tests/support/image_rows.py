"""Rows of the table of formats (docs/reference/images.md): a drawn file of one property, and what must come out of it.

The expected pixels are NumPy's: the drawn scene itself, or what the specification makes of it. `reference` names a program
that is asked beside it.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from core.errors import ItemErrorCode
from tests.support.pictures import jpeg_segment, png_chunk, saved, scene

WIDTH, HEIGHT = 64, 48
SCENE = RGB = scene(WIDTH, HEIGHT)
GREY = np.asarray(Image.fromarray(SCENE).convert("L"))
ALPHA = np.where(np.arange(WIDTH) < WIDTH // 2, 255, 100).astype(np.uint8)[None].repeat(HEIGHT, 0)
_UNSUPPORTED = ItemErrorCode.UNSUPPORTED_FORMAT


@dataclass(frozen=True)
class Row:
    """A format, one of its properties, and the right pixels (uint8 [48, 64, 3] or [48, 64]) or the code."""

    format: str
    property: str
    data: bytes
    expected: np.ndarray | ItemErrorCode
    tolerance: float = 0  # of the mean absolute difference, of 255
    reference: str = "NumPy"
    notes: str = ""  # the note beyond those on size, light and sharpness

    def __str__(self) -> str:
        return f"{self.format}: {self.property}"


def over_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return np.round(pixels * share + 255 * (1 - share)).astype(np.uint8)


def turned(turn: int) -> np.ndarray:
    """The scene as it looks upright where a file with this EXIF orientation holds it (EXIF 2.32, 4.6.4)."""
    across = SCENE.transpose(1, 0, 2)
    upright = [SCENE, SCENE[:, ::-1], SCENE[::-1, ::-1], SCENE[::-1], across, across[:, ::-1], across[::-1, ::-1], across[::-1]]
    return upright[turn - 1]


def exif_of(turn: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif.tobytes()


def jpeg_rows() -> Iterator[Row]:
    image, grey = Image.fromarray(SCENE), Image.fromarray(GREY)
    plain = saved(image, quality=98, subsampling=0)
    for name, options in (
        ("baseline, 4:4:4", {"subsampling": 0}),
        ("baseline, 4:2:2", {"subsampling": 1}),
        ("baseline, 4:2:0", {"subsampling": 2}),
        ("progressive", {"progressive": True}),
        ("RGB, not YCbCr", {"keep_rgb": True}),
        ("restart markers", {"restart_marker_rows": 1}),
    ):
        yield Row("JPEG", name, saved(image, quality=98, **options), RGB, 2.5, "ImageMagick")
    yield Row("JPEG", "grey", saved(grey, quality=98), GREY, 1, "ImageMagick")
    cmyk = saved(image.convert("CMYK"), quality=98)
    yield Row("JPEG", "CMYK with an Adobe marker: inverted", cmyk, RGB, 2, "ImageMagick")
    at = cmyk.index(b"\xff\xee")
    yield Row("JPEG", "CMYK without one", cmyk[:at] + cmyk[at + 16 :], _UNSUPPORTED)
    no_jfif = plain[:2] + plain[20:]
    yield Row("JPEG", "no marker, components 1, 2, 3: YCbCr", no_jfif, RGB, 2.5, "ImageMagick")
    adobe = jpeg_segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")
    yield Row("JPEG", "Adobe marker, YCbCr", no_jfif[:2] + adobe + no_jfif[2:], RGB, 2.5, "ImageMagick")
    for marker, name in ((0xC3, "lossless"), (0xF7, "JPEG-LS"), (0xC5, "hierarchical")):
        yield Row("JPEG", name, plain.replace(b"\xff\xc0", bytes([0xFF, marker])), _UNSUPPORTED)
    yield Row("JPEG", "12 bits", plain.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), _UNSUPPORTED)
    other = Image.new("RGB", (WIDTH, HEIGHT))
    mpo = saved(image, "MPO", save_all=True, append_images=[other], quality=98)
    yield Row("JPEG", "several pictures (MPO): the first, with a note", mpo, RGB, 2.5, notes="extra_pages")
    for turn in range(1, 9):
        yield Row("JPEG", f"orientation {turn}", saved(image, quality=98, exif=exif_of(turn)), turned(turn), 2.5)


def png(depth: int, colour: int, rows: np.ndarray, *before: tuple[bytes, bytes], interlaced: bool = False) -> bytes:
    """A PNG of raw rows, [height, bytes]; interlaced by Adam7 where asked, for whole bytes a pixel only."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, interlaced)
    passes = [rows]
    if interlaced:
        pixels = rows.reshape(HEIGHT, WIDTH, -1)
        starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
        passes = [
            pixels[top::down, left::across].reshape(len(range(top, HEIGHT, down)), -1) for left, top, across, down in starts
        ]
    body = b"".join(b"\0" + row.tobytes() for lines in passes for row in lines)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def lines(pixels: np.ndarray, kind: str = "u1") -> np.ndarray:
    return np.frombuffer(pixels.astype(f">{kind}").tobytes(), np.uint8).reshape(HEIGHT, -1)


def bits_of(values: np.ndarray, bits: int) -> np.ndarray:
    places = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(places.reshape(HEIGHT, -1).astype(np.uint8), axis=1)


def png_rows() -> Iterator[Row]:
    for bits in (1, 2, 4):
        values = (GREY.astype(int) * (2**bits - 1) + 127) // 255
        meant = (values * 255 // (2**bits - 1)).astype(np.uint8)
        yield Row("PNG", f"grey, {bits} bits", png(bits, 0, bits_of(values, bits)), meant, reference="ImageMagick")
        keyed = png(bits, 0, bits_of(values, bits), (b"tRNS", struct.pack(">H", values[0, 0])))
        yield Row("PNG", f"grey, {bits} bits, a transparent value", keyed, np.where(values == values[0, 0], 255, meant))
    wide = GREY.astype(int) * 257
    yield Row("PNG", "grey, 16 bits", png(16, 0, lines(wide, "u2")), GREY, reference="ImageMagick")
    keyed = png(16, 0, lines(wide, "u2"), (b"tRNS", struct.pack(">H", wide[0, 0])))
    yield Row("PNG", "grey, 16 bits, a transparent value", keyed, np.where(wide == wide[0, 0], 255, GREY))
    yield Row("PNG", "RGB", png(8, 2, lines(SCENE)), RGB, reference="ImageMagick")
    yield Row("PNG", "RGB, 16 bits", png(16, 2, lines(SCENE.astype(int) * 257, "u2")), RGB, reference="ImageMagick")
    yield Row("PNG", "RGB, interlaced", png(8, 2, lines(SCENE), interlaced=True), RGB, reference="ImageMagick")
    key = (b"tRNS", struct.pack(">3H", *SCENE[0, 0]))
    meant = np.where((SCENE[0, 0] == SCENE).all(-1)[..., None], 255, SCENE)
    yield Row("PNG", "RGB, a transparent colour", png(8, 2, lines(SCENE), key), meant)
    yield Row("PNG", "RGB, 16 bits, a transparent colour", png(16, 2, lines(SCENE.astype(int) * 257, "u2"), key), _UNSUPPORTED)
    rgba = np.dstack([SCENE, ALPHA])
    yield Row("PNG", "alpha", png(8, 6, lines(rgba)), over_white(SCENE, ALPHA), 0.5, "ImageMagick")
    yield Row(
        "PNG", "alpha, 16 bits", png(16, 6, lines(rgba.astype(int) * 257, "u2")), over_white(SCENE, ALPHA), 0.5, "ImageMagick"
    )
    image = Image.fromarray(SCENE).quantize(16)
    colours = np.array(image.getpalette()[:48], np.uint8).reshape(16, 3)
    palette, indices = (b"PLTE", colours.tobytes()), np.asarray(image)
    yield Row("PNG", "palette, 4 bits", png(4, 3, bits_of(indices, 4), palette), colours[indices], reference="ImageMagick")
    clear = (b"tRNS", bytes([100]) * 16)
    meant = over_white(colours[indices], np.full((HEIGHT, WIDTH), 100))
    yield Row("PNG", "palette with alpha", png(8, 3, lines(indices), palette, clear), meant, 0.5)
    yield Row("PNG", "a pixel behind the palette", png(8, 3, lines(indices + 200), palette), ItemErrorCode.DAMAGED)
    linear = np.where(SCENE / 255 <= 0.0031308, 12.92 * SCENE / 255, 1.055 * (SCENE / 255) ** (1 / 2.4) - 0.055)
    light = png(8, 2, lines(SCENE), (b"gAMA", struct.pack(">I", 100_000)))
    yield Row("PNG", "linear light (gAMA 1.0)", light, np.round(255 * linear).astype(np.uint8), 1)
    yield Row("PNG", "gAMA of sRGB", png(8, 2, lines(SCENE), (b"gAMA", struct.pack(">I", 45_455))), RGB)
    yield Row("PNG", "cICP of sRGB", png(8, 2, lines(SCENE), (b"cICP", b"\1\x0d\0\1")), RGB)
    yield Row("PNG", "high dynamic range (cICP, PQ)", png(8, 2, lines(SCENE), (b"cICP", b"\x09\x10\0\1")), _UNSUPPORTED)
    yield Row("PNG", "unknown critical chunk (Apple's CgBI)", png(8, 2, lines(SCENE), (b"CgBI", b"\x50\0\x20\2")), _UNSUPPORTED)
    frames = saved(Image.fromarray(SCENE), "PNG", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))])
    yield Row("PNG", "animation: the first frame, with a note", frames, RGB, notes="extra_pages")
    for turn in range(1, 9):
        yield Row("PNG", f"orientation {turn}", saved(Image.fromarray(SCENE), "PNG", exif=exif_of(turn)), turned(turn))


def bmp(
    depth: int, body: bytes, *, compression: int = 0, top_down: bool = False, masks: bytes = b"", palette: bytes = b""
) -> bytes:
    header = 40 if not masks else 108
    offset = 14 + header + len(palette)
    info = struct.pack(
        "<IiiHHIIiiII",
        header,
        WIDTH,
        -HEIGHT if top_down else HEIGHT,
        1,
        depth,
        compression,
        len(body),
        0,
        0,
        len(palette) // 4,
        0,
    )
    extra = (masks + b"BGRs" + bytes(48)) if masks else b""
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + info + extra + palette + body


def bmp_rows() -> Iterator[Row]:
    bgr, up = SCENE[..., ::-1], slice(None, None, -1)
    yield Row("BMP", "24 bits, bottom up", bmp(24, bgr[up].tobytes()), RGB, reference="ImageMagick")
    yield Row("BMP", "24 bits, top down", bmp(24, bgr.tobytes(), top_down=True), RGB, reference="ImageMagick")
    four = np.dstack([bgr, np.zeros_like(GREY)])
    yield Row("BMP", "32 bits, the fourth byte unused", bmp(32, four[up].tobytes()), RGB)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    alpha = np.dstack([bgr, ALPHA])
    yield Row(
        "BMP",
        "32 bits with an alpha mask",
        bmp(32, alpha[up].tobytes(), compression=3, masks=masks),
        over_white(SCENE, ALPHA),
        0.5,
    )
    red, green, blue = (SCENE[..., n].astype(np.uint16) for n in range(3))
    for name, shifts, masks in (
        ("555", (10, 5, 3, 3), (0x7C00, 0x3E0, 0x1F, 0)),
        ("565", (11, 5, 2, 3), (0xF800, 0x7E0, 0x1F, 0)),
    ):
        packed = (red >> 3) << shifts[0] | (green >> shifts[2]) << shifts[1] | blue >> shifts[3]
        yield Row(
            "BMP",
            f"16 bits, {name}",
            bmp(16, packed[up].tobytes(), compression=3, masks=struct.pack("<4I", *masks)),
            RGB,
            4.5,
            "ImageMagick",
        )
    image = Image.fromarray(SCENE).quantize(64)
    colours = np.array(image.getpalette()[:192], np.uint8).reshape(64, 3)
    palette, indices = np.pad(colours[:, ::-1], ((0, 0), (0, 1))).tobytes(), np.asarray(image)
    yield Row("BMP", "palette", bmp(8, indices[up].tobytes(), palette=palette), colours[indices], reference="ImageMagick")
    runs = b"".join(b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in indices[up]) + b"\0\1"
    yield Row(
        "BMP", "palette, run lengths", bmp(8, runs, compression=1, palette=palette), colours[indices], reference="ImageMagick"
    )
    yield Row(
        "BMP", "a pixel behind the palette", bmp(8, (indices + 190)[up].tobytes(), palette=palette), ItemErrorCode.DAMAGED
    )
    yield Row("BMP", "JPEG within", bmp(24, bgr[up].tobytes(), compression=4), _UNSUPPORTED)


def gif_rows() -> Iterator[Row]:
    image = Image.fromarray(SCENE).quantize(64)
    colours = np.array(image.getpalette()[:192], np.uint8).reshape(64, 3)[np.asarray(image)]
    plain = saved(image, "GIF")
    yield Row("GIF", "palette", plain, colours, reference="ImageMagick")
    yield Row("GIF", "interlaced", saved(image, "GIF", interlace=1), colours, reference="ImageMagick")
    clear = int(np.asarray(image)[0, 0])
    meant = np.where((np.asarray(image) == clear)[..., None], 255, colours)
    yield Row("GIF", "a transparent colour", saved(image, "GIF", transparency=clear), meant)
    frames = saved(image, "GIF", save_all=True, append_images=[Image.new("L", (WIDTH, HEIGHT))])
    yield Row("GIF", "animation: the first frame, with a note", frames, colours, notes="extra_pages")


def webp_rows() -> Iterator[Row]:
    image = Image.fromarray(SCENE)
    yield Row("WEBP", "lossless", saved(image, "WEBP", lossless=True), RGB, reference="ImageMagick")
    yield Row("WEBP", "lossy", saved(image, "WEBP", quality=98), RGB, 4, "ImageMagick")
    clear = Image.fromarray(np.dstack([SCENE, ALPHA]))
    yield Row("WEBP", "alpha", saved(clear, "WEBP", lossless=True, exact=True), over_white(SCENE, ALPHA), 0.5, "ImageMagick")
    options: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (WIDTH, HEIGHT))], "lossless": True}
    yield Row("WEBP", "animation: the first frame, with a note", saved(image, "WEBP", **options), RGB, notes="extra_pages")
    for turn in range(1, 9):
        yield Row("WEBP", f"orientation {turn}", saved(image, "WEBP", lossless=True, exif=exif_of(turn)), turned(turn))


def avif_rows() -> Iterator[Row]:
    image = Image.fromarray(SCENE)
    yield Row("AVIF", "plain", saved(image, "AVIF", quality=98, subsampling="4:4:4"), RGB, 4)
    clear = saved(Image.fromarray(np.dstack([SCENE, ALPHA])), "AVIF", quality=98, subsampling="4:4:4")
    yield Row("AVIF", "alpha", clear, over_white(SCENE, ALPHA), 4)
    for turn in range(1, 9):
        yield Row("AVIF", f"orientation {turn}", saved(image, "AVIF", quality=98, exif=exif_of(turn)), turned(turn), 4)
    frames = saved(image, "AVIF", quality=98, save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))])
    yield Row("AVIF", "sequence: the first frame, with a note", frames, RGB, 6, notes="extra_pages")


def heif_rows() -> Iterator[Row]:
    """Drawn by pillow-heif, which is an optional dependency of the project and a fixed one of its tests."""
    import pillow_heif

    def heif(*images: Image.Image, **options: Any) -> bytes:
        stream = io.BytesIO()
        file = pillow_heif.from_pillow(images[0])
        for image in images[1:]:
            file.add_from_pillow(image)
        file.save(stream, quality=98, chroma=444, **options)
        return stream.getvalue()

    image = Image.fromarray(SCENE)
    yield Row("HEIF", "plain", heif(image), RGB, 4)
    yield Row("HEIF", "alpha", heif(Image.fromarray(np.dstack([SCENE, ALPHA]))), over_white(SCENE, ALPHA), 4)
    for turn in range(1, 9):
        yield Row("HEIF", f"orientation {turn}", heif(image, exif=exif_of(turn)), turned(turn), 4)
    second = Image.new("RGB", (WIDTH, HEIGHT))
    yield Row(
        "HEIF",
        "several pictures: the primary one, with a note",
        heif(image, second, primary_index=0),
        RGB,
        4,
        notes="extra_pages",
    )
    yield Row("HEIF", "the second one is the primary", heif(second, image, primary_index=1), RGB, 4, notes="extra_pages")
