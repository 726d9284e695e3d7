"""Every format and pixel mode through the one decode path: the same picture must come out, or a coded refusal."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import ItemError, ItemErrorCode
from core.imaging import decode_image, thumbnail
from core.settings import ImageLimits

WIDTH, HEIGHT = 64, 48
LIMITS = ImageLimits()


def picture() -> np.ndarray:
    """A smooth colour picture without symmetry, [HEIGHT, WIDTH, 3]."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([40 + 3 * x, 30 + 4 * y, 220 - 2 * x - y], axis=-1).astype(np.uint8)


RGB = Image.fromarray(picture())
GREY = RGB.convert("L")
GREY_16 = Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257)
LEFT_HALF = Image.fromarray(np.where(np.arange(WIDTH) < WIDTH // 2, 255, 0).astype(np.uint8)[None].repeat(HEIGHT, 0))
BILEVEL = GREY.point(lambda v: 255 if v > 120 else 0, "1")
PALETTE = RGB.quantize(64)


def saved(image: Image.Image, fmt: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, fmt, **options)
    return stream.getvalue()


def with_alpha(image: Image.Image, alpha: Image.Image = LEFT_HALF) -> Image.Image:
    out = image.copy()
    out.putalpha(alpha)
    return out


def over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    white.paste(image.convert("RGB"), mask=LEFT_HALF)
    return white


def png(bit_depth: int, colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG from raw scan lines: variants that Pillow reads and cannot write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bit_depth, colour_type, 0, 0, 0)
    stride = len(rows) // HEIGHT
    lines = b"".join(b"\0" + rows[i : i + stride] for i in range(0, len(rows), stride))
    body = b"".join(chunk(*c) for c in (*chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def tiff(bits: tuple[int, ...], photometric: int, pixels: bytes) -> bytes:
    """An uncompressed little-endian TIFF of one strip: variants that Pillow reads and cannot write."""
    count = len(bits)
    bits_at = 8 + 2 + 9 * 12 + 4
    data_at = bits_at + 2 * count
    entries = [
        (256, 3, 1, WIDTH),
        (257, 3, 1, HEIGHT),
        (258, 3, count, bits[0] if count == 1 else bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, data_at),
        (277, 3, 1, count),
        (278, 3, 1, HEIGHT),
        (279, 4, 1, len(pixels)),
    ]
    ifd = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + ifd + struct.pack(f"<{count}H", *bits) + pixels


def packed_12_bit() -> bytes:
    """GREY in 12 bits per pixel, two pixels in three bytes, white = 4095."""
    values = np.asarray(GREY).astype(np.uint16) * 16 + np.asarray(GREY) // 16
    first, second = values[:, 0::2], values[:, 1::2]
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1).astype(np.uint8).tobytes()


def rgb16(order: str) -> bytes:
    return (picture().astype(np.uint16) * 257).astype(f"{order}u2").tobytes()


def colour_keyed_png() -> bytes:
    pixels = picture()
    pixels[:, WIDTH // 2 :] = (1, 2, 3)
    return png(8, 2, pixels.tobytes(), (b"tRNS", struct.pack(">HHH", 1, 2, 3)))


def half_transparent_palette(fmt: str) -> bytes:
    indices = np.asarray(PALETTE).copy()
    indices[:, WIDTH // 2 :] = 255
    image = Image.fromarray(indices, "L").copy()
    image = Image.frombytes("P", image.size, indices.tobytes())
    image.putpalette(PALETTE.getpalette()[: 64 * 3] + [0] * (192 * 3))
    return saved(image, fmt, transparency=255)


def translucent_palette_png() -> bytes:
    image = Image.frombytes("P", RGB.size, np.asarray(PALETTE).tobytes())
    image.putpalette(PALETTE.getpalette())
    return saved(image, "PNG", transparency=bytes([128]) * 64)


def half_white() -> Image.Image:
    return Image.fromarray(((np.asarray(PALETTE.convert("RGB")).astype(int) * 128 + 255 * 127) // 255).astype(np.uint8))


def frames(fmt: str) -> bytes:
    other = RGB.transpose(Image.Transpose.ROTATE_180)
    return saved(RGB, fmt, save_all=True, append_images=[other, other], **({"lossless": True} if fmt == "WEBP" else {}))


@dataclass(frozen=True)
class Case:
    """Bytes, the picture that must come out, and how far it may be off (mean absolute difference, of 255)."""

    name: str
    data: Callable[[], bytes]
    expected: Callable[[], Image.Image]
    tolerance: float = 0.0


def rgb() -> Image.Image:
    return RGB


def grey() -> Image.Image:
    return GREY


CASES = [
    Case("jpeg", lambda: saved(RGB, "JPEG", quality=95), rgb, 2),
    Case("jpeg-progressive", lambda: saved(RGB, "JPEG", quality=95, progressive=True), rgb, 2),
    Case("jpeg-grey", lambda: saved(GREY, "JPEG", quality=95), grey, 1),
    Case("jpeg-cmyk-adobe", lambda: saved(RGB.convert("CMYK"), "JPEG", quality=98), rgb, 3),
    Case("png", lambda: saved(RGB, "PNG"), rgb),
    Case("png-alpha", lambda: saved(with_alpha(RGB), "PNG"), lambda: over_white(RGB)),
    Case("png-transparent-everywhere", lambda: saved(with_alpha(RGB, Image.new("L", RGB.size)), "PNG"), rgb),
    Case("png-grey", lambda: saved(GREY, "PNG"), grey),
    Case("png-grey-alpha", lambda: saved(with_alpha(GREY), "PNG"), lambda: over_white(GREY)),
    Case("png-bilevel", lambda: saved(BILEVEL, "PNG"), lambda: BILEVEL),
    Case("png-palette", lambda: saved(PALETTE, "PNG"), lambda: PALETTE),
    Case("png-palette-transparent", lambda: half_transparent_palette("PNG"), lambda: over_white(PALETTE)),
    Case("png-palette-translucent", translucent_palette_png, half_white, 1),
    Case("png-colour-key", colour_keyed_png, lambda: over_white(RGB)),
    Case("png-16-grey", lambda: saved(GREY_16, "PNG"), grey),
    Case("png-16-rgb", lambda: png(16, 2, rgb16(">")), rgb),
    Case("png-animated", lambda: frames("PNG"), rgb),
    Case("webp", lambda: saved(RGB, "WEBP", quality=95), rgb, 3),
    Case("webp-lossless", lambda: saved(RGB, "WEBP", lossless=True), rgb),
    Case("webp-alpha", lambda: saved(with_alpha(RGB), "WEBP", lossless=True, exact=True), lambda: over_white(RGB)),
    Case("webp-animated", lambda: frames("WEBP"), rgb),
    Case("tiff", lambda: saved(RGB, "TIFF"), rgb),
    Case("tiff-big", lambda: saved(RGB, "TIFF", big_tiff=True), rgb),
    Case("tiff-lzw", lambda: saved(RGB, "TIFF", compression="tiff_lzw"), rgb),
    Case("tiff-deflate", lambda: saved(RGB, "TIFF", compression="tiff_adobe_deflate"), rgb),
    Case("tiff-packbits", lambda: saved(RGB, "TIFF", compression="packbits"), rgb),
    Case("tiff-jpeg", lambda: saved(RGB, "TIFF", compression="jpeg", quality=95), rgb, 3),
    Case("tiff-alpha", lambda: saved(with_alpha(RGB), "TIFF"), lambda: over_white(RGB)),
    Case("tiff-grey", lambda: saved(GREY, "TIFF"), grey),
    Case("tiff-bilevel-fax", lambda: saved(BILEVEL, "TIFF", compression="group4"), lambda: BILEVEL),
    Case("tiff-palette", lambda: saved(PALETTE, "TIFF"), lambda: PALETTE),
    Case("tiff-cmyk", lambda: saved(RGB.convert("CMYK"), "TIFF"), rgb, 1),
    Case("tiff-ycbcr", lambda: saved(RGB.convert("YCbCr"), "TIFF"), rgb, 1.5),
    Case("tiff-16-grey", lambda: saved(GREY_16, "TIFF"), grey),
    Case("tiff-16-grey-lzw", lambda: saved(GREY_16, "TIFF", compression="tiff_lzw"), grey),
    Case("tiff-16-rgb", lambda: tiff((16, 16, 16), 2, rgb16("<")), rgb),
    Case("tiff-12-grey", lambda: tiff((12,), 1, packed_12_bit()), grey),
    Case("tiff-pages", lambda: frames("TIFF"), rgb),
    Case("bmp", lambda: saved(RGB, "BMP"), rgb),
    Case("bmp-32", lambda: saved(with_alpha(RGB), "BMP"), rgb),
    Case("bmp-grey", lambda: saved(GREY, "BMP"), grey),
    Case("bmp-palette", lambda: saved(PALETTE, "BMP"), lambda: PALETTE),
    Case("bmp-bilevel", lambda: saved(BILEVEL, "BMP"), lambda: BILEVEL),
    Case("gif", lambda: saved(PALETTE, "GIF"), lambda: PALETTE),
    Case("gif-grey", lambda: saved(GREY, "GIF"), grey),
    Case("gif-transparent", lambda: half_transparent_palette("GIF"), lambda: over_white(PALETTE)),
    Case("gif-animated", lambda: saved(PALETTE, "GIF", save_all=True, append_images=[GREY, GREY]), lambda: PALETTE),
]


def assert_same(pixels: np.ndarray, expected: Image.Image, tolerance: float) -> None:
    difference = np.abs(pixels.astype(int) - np.asarray(expected.convert("RGB")).astype(int))
    assert difference.mean() <= tolerance, f"mean difference {difference.mean():.2f}, at most {difference.max()}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_picture_comes_out(case: Case) -> None:
    decoded = decode_image(case.data(), height=HEIGHT, width=WIDTH, limits=LIMITS)
    assert decoded.pixels.shape == (HEIGHT, WIDTH, 3)
    assert decoded.pixels.dtype == np.uint8
    assert (decoded.width, decoded.height) == (WIDTH, HEIGHT)
    assert_same(decoded.pixels, case.expected(), case.tolerance)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_has_a_thumbnail(case: Case) -> None:
    shown = Image.open(io.BytesIO(thumbnail(case.data(), max_side=32, limits=LIMITS)))
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "RGB", (32, 24))
    assert_same(np.asarray(shown), case.expected().convert("RGB").resize((32, 24)), case.tolerance + 6)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_target_is_filled(case: Case, resize: Any) -> None:
    for height, width in [(1, 1), (7, 29), (96, 200)]:
        assert decode_image(case.data(), height=height, width=width, resize=resize, limits=LIMITS).pixels.shape == (
            height,
            width,
            3,
        )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("tiff-float", lambda: saved(GREY.convert("F"), "TIFF")),
        ("tiff-int32", lambda: saved(GREY.convert("I"), "TIFF")),
        ("tiff-lab", lambda: saved(Image.new("LAB", RGB.size), "TIFF")),
        ("jpeg-12-bit", lambda: saved(RGB, "JPEG").replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c")),
        (
            "tiff-unknown-compression",
            lambda: saved(RGB, "TIFF").replace(
                struct.pack("<HHI", 259, 3, 1) + b"\1\0", struct.pack("<HHI", 259, 3, 1) + b"\x39\x30"
            ),
        ),
        ("bmp-unknown-compression", lambda: saved(RGB, "BMP")[:30] + b"\x09" + saved(RGB, "BMP")[31:]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_variants_without_a_decoder_are_named(name: str, data: Callable[[], bytes]) -> None:
    with pytest.raises(ItemError) as caught:
        decode_image(data(), height=8, width=8, limits=LIMITS)
    assert caught.value.code is ItemErrorCode.UNSUPPORTED_FORMAT, str(caught.value)
    assert "convert" in str(caught.value)


class TestHeif:
    """HEIC photographs, where the optional plugin is installed."""

    @pytest.fixture(autouse=True)
    def plugin(self) -> Any:
        return pytest.importorskip("pillow_heif", reason="pillow-heif is an optional dependency")

    def heic(self, plugin: Any, image: Image.Image, **options: Any) -> bytes:
        stream = io.BytesIO()
        plugin.from_pillow(image).save(stream, quality=95, **options)
        return stream.getvalue()

    def test_the_picture_comes_out(self, plugin: Any) -> None:
        decoded = decode_image(self.heic(plugin, RGB), height=HEIGHT, width=WIDTH, limits=LIMITS)
        assert (decoded.width, decoded.height) == (WIDTH, HEIGHT)
        assert_same(decoded.pixels, RGB, 3)

    def test_alpha_lies_over_white(self, plugin: Any) -> None:
        decoded = decode_image(self.heic(plugin, with_alpha(RGB)), height=HEIGHT, width=WIDTH, limits=LIMITS)
        assert_same(decoded.pixels, over_white(RGB), 4)

    def test_it_is_turned_upright_once(self, plugin: Any) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        decoded = decode_image(self.heic(plugin, RGB, exif=exif.tobytes()), height=WIDTH, width=HEIGHT, limits=LIMITS)
        assert (decoded.width, decoded.height) == (HEIGHT, WIDTH)
        assert_same(decoded.pixels, RGB.transpose(Image.Transpose.ROTATE_270), 3)

    def test_cut_short_it_is_a_coded_failure(self, plugin: Any) -> None:
        data = self.heic(plugin, RGB)
        for tenth in range(1, 10):
            with pytest.raises(ItemError) as caught:
                decode_image(data[: len(data) * tenth // 10], height=8, width=8, limits=LIMITS)
            assert caught.value.code in (ItemErrorCode.TRUNCATED, ItemErrorCode.NOT_AN_IMAGE)


def test_a_picture_between_pillows_limit_and_ours() -> None:
    """Pillow's own limit (89 Mpx) warns when a TIFF is loaded; ours (100 Mpx) rules. White stays white."""
    pillows = Image.MAX_IMAGE_PIXELS
    data = saved(Image.new("1", (9_500, 9_600), 1), "TIFF", compression="group4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoded = decode_image(data, height=2, width=2, limits=LIMITS)
    assert decoded.pixels.min() == 255
    assert pillows == Image.MAX_IMAGE_PIXELS
