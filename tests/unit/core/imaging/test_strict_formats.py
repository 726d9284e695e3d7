"""Formats other than JPEG: each checksum, length and missing piece that they show, and metadata that must not matter."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from core.errors import ItemError, ItemErrorCode
from core.imaging import decode_image
from core.settings import ImageLimits
from tests.support.pictures import photograph, png_chunk, saved, scene
from tests.support.tiffs import picture_tags, tiff

LIMITS = ImageLimits()
WIDTH, HEIGHT = 64, 48
SCENE = scene(WIDTH, HEIGHT)
ROWS = b"".join(b"\0" + row.tobytes() for row in SCENE)
HEADER = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
TRUNCATED, DAMAGED = ItemErrorCode.TRUNCATED, ItemErrorCode.DAMAGED


def pixels(data: bytes) -> np.ndarray:
    return decode_image(data, height=HEIGHT, width=WIDTH, limits=LIMITS).pixels


def code(data: bytes) -> ItemErrorCode:
    with pytest.raises(ItemError) as caught:
        pixels(data)
    return caught.value.code


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def usual(*before: tuple[bytes, bytes], body: bytes | None = None) -> bytes:
    return png((b"IHDR", HEADER), *before, (b"IDAT", zlib.compress(ROWS) if body is None else body), (b"IEND", b""))


def broken_crc(data: bytes, kind: bytes) -> bytes:
    """The same file with a wrong checksum in its first chunk of that kind."""
    at = data.index(kind)
    end = at + 4 + int.from_bytes(data[at - 4 : at], "big")
    return data[:end] + bytes([data[end] ^ 1]) + data[end + 1 :]


class TestPng:
    @pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"IEND"])
    def test_a_wrong_checksum_of_a_critical_chunk(self, kind: bytes) -> None:
        assert code(broken_crc(usual(), kind)) is DAMAGED

    def test_a_wrong_checksum_of_transparency(self) -> None:
        assert code(broken_crc(usual((b"tRNS", bytes(6))), b"tRNS")) is DAMAGED

    def test_a_wrong_checksum_of_a_colour_chunk_is_a_note(self) -> None:
        decoded = decode_image(
            broken_crc(usual((b"gAMA", struct.pack(">I", 100_000))), b"gAMA"), height=HEIGHT, width=WIDTH, limits=LIMITS
        )
        assert "lost_profile" in decoded.notes
        assert np.array_equal(decoded.pixels, SCENE)

    @pytest.mark.parametrize("kind", [b"tEXt", b"tIME", b"eXIf", b"zzZz"])
    def test_a_wrong_checksum_of_metadata_does_not_matter(self, kind: bytes) -> None:
        assert np.array_equal(pixels(broken_crc(usual((kind, b"x" * 20)), kind)), SCENE)

    @pytest.mark.parametrize(
        ("body", "wanted"),
        [
            (zlib.compress(ROWS[:-1]), TRUNCATED),
            (zlib.compress(ROWS[: len(ROWS) // 2]), TRUNCATED),
            (zlib.compress(b""), TRUNCATED),
            (zlib.compress(ROWS)[:-4], TRUNCATED),
            (zlib.compress(ROWS)[:-1], TRUNCATED),
            (zlib.compress(ROWS + b"\0"), DAMAGED),
            (zlib.compress(ROWS)[:-1] + b"\x55", DAMAGED),
            (b"\x78\x9c" + bytes(100), DAMAGED),
            (zlib.compress(b"\x09" + ROWS[1:]), DAMAGED),
        ],
    )
    def test_rows_that_are_missing_or_too_many(self, body: bytes, wanted: ItemErrorCode) -> None:
        assert code(usual(body=body)) is wanted

    def test_without_its_last_chunk_it_is_whole(self) -> None:
        for missing in (1, 4, 8, 11, 12):
            assert np.array_equal(pixels(usual()[:-missing]), SCENE)
        assert code(usual()[:-13]) is TRUNCATED

    def test_pixels_in_two_chunks_and_pixels_apart(self) -> None:
        body = zlib.compress(ROWS)
        parts = [(b"IDAT", body[:100]), (b"IDAT", b""), (b"IDAT", body[100:])]
        assert np.array_equal(pixels(png((b"IHDR", HEADER), *parts, (b"IEND", b""))), SCENE)
        apart = [(b"IDAT", body[:100]), (b"tIME", bytes(7)), (b"IDAT", body[100:])]
        assert code(png((b"IHDR", HEADER), *apart, (b"IEND", b""))) is DAMAGED

    def test_text_and_profile_bombs_cost_nothing(self) -> None:
        bomb = zlib.compress(bytes(60_000_000), 9)
        for kind, body in ((b"zTXt", b"k\0\0" + bomb), (b"iTXt", b"k\0\1\0\0\0" + bomb), (b"iCCP", b"k\0\0" + bomb)):
            assert np.array_equal(pixels(usual((kind, body))), SCENE)
        many = [(b"tEXt", b"key\0" + b"x" * 50)] * 30_000
        assert np.array_equal(pixels(usual(*many)), SCENE)

    def test_large_pictures_are_checked_in_pieces(self) -> None:
        image = Image.new("RGB", (4000, 3000), "white")
        data = saved(image, "PNG")
        assert decode_image(data, height=2, width=2, limits=LIMITS).pixels.min() == 255
        header = struct.pack(">IIBBBBB", 4000, 3000, 8, 2, 0, 0, 0)
        for count, wanted in ((36_002_999, TRUNCATED), (36_003_001, DAMAGED)):
            assert code(png((b"IHDR", header), (b"IDAT", zlib.compress(bytes(count))), (b"IEND", b""))) is wanted


def strip(*more: tuple[int, int, list[int]], body: bytes = SCENE.tobytes()) -> bytes:
    return tiff((picture_tags(WIDTH, HEIGHT, [8] * 3, 2, *more), [body]))


class TestTiff:
    def test_strips_that_are_missing_or_short(self) -> None:
        assert code(strip(body=SCENE.tobytes()[:-1])) is TRUNCATED
        assert code(strip((278, 3, [24]))) is TRUNCATED  # two strips, one is there
        assert code(strip()[:-200]) is TRUNCATED

    def test_strips_behind_the_end(self) -> None:
        data = strip()
        at = data.rindex(struct.pack("<HHI", 273, 4, 1)) + 8
        assert code(data[:at] + struct.pack("<I", len(data) - 50) + data[at + 4 :]) is TRUNCATED

    @pytest.mark.parametrize(
        ("body", "wanted"),
        [
            (zlib.compress(SCENE.tobytes()[:-1]), TRUNCATED),
            (zlib.compress(SCENE.tobytes())[:-4], TRUNCATED),
            (zlib.compress(SCENE.tobytes())[:-1] + b"\x55", DAMAGED),
        ],
    )
    def test_deflate(self, body: bytes, wanted: ItemErrorCode) -> None:
        assert np.array_equal(pixels(strip((259, 3, [8]), body=zlib.compress(SCENE.tobytes()))), SCENE)
        assert code(strip((259, 3, [8]), body=body)) is wanted

    def test_a_damaged_jpeg_within(self) -> None:
        data = bytearray(saved(photograph(300, 200), "TIFF", compression="jpeg", quality=90))
        middle = len(data) // 2
        data[middle : middle + 200] = bytes(200)
        assert code(bytes(data)) in (TRUNCATED, DAMAGED)

    def test_metadata_do_not_matter(self) -> None:
        wild = [(270, 2, [65] * 900), (34665, 4, [2**32 - 1]), (34853, 4, [7]), (33723, 1, [255] * 4000), (700, 1, [60] * 9000)]
        out = tiff(
            (
                picture_tags(WIDTH, HEIGHT, [8] * 3, 2, *[(tag, 1 if kind == 2 else kind, v) for tag, kind, v in wild]),
                [SCENE.tobytes()],
            )
        )
        assert np.array_equal(pixels(out), SCENE)


def test_the_length_of_a_webp() -> None:
    for options in ({"quality": 90}, {"lossless": True}):
        data = saved(photograph(120, 90), "WEBP", **options)
        assert code(data[:-40]) is TRUNCATED
        size = len(data) - 20 - 200
        shorter = data[:16] + struct.pack("<I", size) + data[20 : 20 + size]
        assert code(b"RIFF" + struct.pack("<I", len(shorter) - 8) + shorter[8:]) in (TRUNCATED, DAMAGED)
        middle = len(data) // 2
        assert code(data[:middle] + bytes(80) + data[middle + 80 :]) is DAMAGED
        assert np.array_equal(pixels(data + b"behind it"), pixels(data))


def test_broken_metadata_of_a_webp_do_not_matter() -> None:
    plain = saved(photograph(120, 90), "WEBP", lossless=True, exif=b"Exif\0\0MM\0*" + bytes(20))
    for kind in (b"EXIF", b"XMP "):
        body = kind + struct.pack("<I", 200_000) + b"\xff" * 200_000
        data = plain[:8] + plain[8:] + body
        assert np.array_equal(pixels(b"RIFF" + struct.pack("<I", len(data) - 8) + data[8:]), pixels(plain))


def test_lengths_of_a_bmp_and_a_gif() -> None:
    assert code(saved(Image.fromarray(SCENE), "BMP")[:-1]) is TRUNCATED
    data = saved(photograph(120, 90).quantize(64), "GIF")
    assert code(data[: len(data) // 2]) is TRUNCATED
    assert code(data[: len(data) // 2] + b"\0;") is TRUNCATED
    assert np.array_equal(pixels(data[:-1]), pixels(data))  # without its trailer
    comment = b"\x21\xfe" + b"\xff" + b"c" * 255 + b"\0"
    at = 13 + 3 * 64
    assert np.array_equal(pixels(data[:at] + comment * 2000 + data[at:]), pixels(data))


def heif() -> bytes:
    stream = io.BytesIO()
    pillow_heif.from_pillow(photograph(120, 90)).save(stream, quality=90)
    return stream.getvalue()


@pytest.mark.parametrize("draw", [heif, lambda: saved(photograph(120, 90), "AVIF", quality=90)], ids=["HEIF", "AVIF"])
def test_boxes_of_heif_and_avif(draw: Callable[[], bytes]) -> None:
    data = draw()
    assert code(data[:-1]) is TRUNCATED
    assert code(data[: len(data) // 2]) is TRUNCATED
    at = data.index(b"mdat") + 200
    assert code(data[:at] + bytes(100) + data[at + 100 :]) is DAMAGED
    shorter = data[:-300]
    mdat = shorter.index(b"mdat") - 4
    assert code(shorter[:mdat] + struct.pack(">I", len(shorter) - mdat) + shorter[mdat + 4 :]) is TRUNCATED


def test_broken_exif_of_an_avif_does_not_matter() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    data = saved(photograph(120, 90), "AVIF", exif=exif)
    at = data.index(b"a maker") - 30
    assert np.array_equal(pixels(data[:at] + b"\xff" * 30 + data[at + 30 :]), pixels(data))


def test_a_table_of_items_that_repeats_itself_costs_nothing() -> None:
    """65,535 items of 65,535 extents that take no bytes, or that point at the same bytes."""
    data = heif()
    at = data.index(b"iloc")
    for sizes in (b"\0\0", b"\x44\0"):
        assert code(data[: at + 8] + sizes + b"\xff\xff" + b"\0\1\0\0\xff\xff" + data[at + 18 :]) in (TRUNCATED, DAMAGED)
