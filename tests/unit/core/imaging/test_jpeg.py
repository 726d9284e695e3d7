"""JPEG: a sound scan decodes to what libjpeg makes of it; a damaged one is refused, and metadata never matter."""

from __future__ import annotations

import io
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import ItemError, ItemErrorCode
from core.imaging import decode_image, thumbnail
from core.imaging.jpeg import JpegPicture
from core.settings import ImageLimits
from tests.support.pictures import jpeg_segment, photograph, saved

LIMITS = ImageLimits()
SOUND = saved(photograph(200, 150), quality=90)
SCAN_AT = SOUND.index(b"\xff\xda")
PIXELS_AT = SCAN_AT + 14


def decode(data: bytes) -> np.ndarray:
    return decode_image(data, height=150, width=200, limits=LIMITS).pixels


def refusal(data: bytes) -> ItemError:
    with pytest.raises(ItemError) as caught:
        decode(data)
    with pytest.raises(ItemError) as again:
        thumbnail(data, max_side=64, limits=LIMITS)
    assert again.value.code is caught.value.code
    return caught.value


def by_pillow(data: bytes, enough: tuple[int, int]) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    image.draft(None, (2 * enough[0], 2 * enough[1]))
    return np.asarray(image.convert("RGB"))


VARIANTS = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "restart markers": {"restart_marker_rows": 1},
    "rgb": {"keep_rgb": True},
}


class TestSamePixelsAsPillow:
    """The training data were decoded by Pillow: not one value may differ, at any scale."""

    @pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
    @pytest.mark.parametrize("size", [(601, 453), (64, 48), (17, 9), (8, 8), (7, 5), (4, 4), (1, 1), (3, 90)])
    def test_drawn(self, options: dict[str, Any], size: tuple[int, int]) -> None:
        for image in (photograph(*size), photograph(*size).convert("L")):
            data = saved(image, **({} if image.mode == "L" else options))
            for enough in [(1, 1), (2, 1), (9, 7), (28, 28), (96, 64), (300, 200)]:
                pixels, box = JpegPicture(data).decode(enough)
                assert np.array_equal(np.asarray(pixels.convert("RGB")), by_pillow(data, enough)), enough
                assert box[2] <= pixels.width
                assert box[3] <= pixels.height

    @pytest.mark.parametrize("side", [28, 96, 224])
    def test_real(self, side: int, shared_data: Path) -> None:
        folder = shared_data / "ham10000"
        members = [path.read_bytes() for path in sorted((folder / "originals_600x450").glob("*.jpg"))]
        with zipfile.ZipFile(folder / "ham10000_200x150.zip") as archive:
            members += [archive.read(name) for name in archive.namelist()[::97] if name.endswith(".jpg")]
        for data in members:
            assert np.array_equal(np.asarray(JpegPicture(data).decode((side, side))[0]), by_pillow(data, (side, side)))


def zeros(data: bytes, at: int, count: int) -> bytes:
    return data[:at] + bytes(count) + data[at + count :]


DAMAGES: dict[str, Callable[[bytes, int], bytes]] = {
    "64 zeros": lambda data, at: zeros(data, at, 64),
    "512 zeros": lambda data, at: zeros(data, at, 512),
    "512 bytes twice": lambda data, at: data[:at] + data[at : at + 512] + data[at:],
    "1000 bytes missing": lambda data, at: data[:at] + data[at + 1000 :],
    "the rest is zeros": lambda data, at: data[:at] + bytes(len(data) - at),
    "the rest is missing": lambda data, at: data[:at],
    "cut, and closed with an end marker": lambda data, at: data[:at] + b"\xff\xd9",
    "a line feed became two bytes": lambda data, _: data.replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"optimize": True}, {"progressive": True}], ids=str)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_scan_is_refused(damage: Callable[[bytes, int], bytes], options: dict[str, Any]) -> None:
    for seed in range(12):
        data = saved(photograph(200, 150, seed), quality=92, **options)
        begin = data.rindex(b"\xff\xda") + 14 if "progressive" not in options else data.index(b"\xff\xda") + 400
        at = random.Random(seed).randrange(begin + 20, len(data) - 1200)
        if "progressive" in options and damage is DAMAGES["64 zeros"]:
            continue  # correction bits of zeros are sound there
        code = refusal(damage(data, at)).code
        assert code in (ItemErrorCode.TRUNCATED, ItemErrorCode.DAMAGED)


def test_the_code_says_whether_bytes_are_missing() -> None:
    middle = (PIXELS_AT + len(SOUND)) // 2
    for data in (SOUND[:middle], SOUND[:middle] + b"\xff\xd9", SOUND[:SCAN_AT], SOUND[:300], SOUND[:3]):
        assert refusal(data).code is ItemErrorCode.TRUNCATED
    for data in (zeros(SOUND, middle, 700), SOUND[:middle] + SOUND[middle - 700 :], SOUND[:-2] + bytes(50) + b"\xff\xd9"):
        assert refusal(data).code is ItemErrorCode.DAMAGED


class TestEndMarker:
    """A picture without its end marker is whole if all its rows are there."""

    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 2}], ids=str)
    def test_only_the_marker_is_missing(self, options: dict[str, Any]) -> None:
        data = saved(photograph(200, 150), **options)
        for shorter in (data[:-2], data[:-1]):
            assert np.array_equal(decode(shorter), decode(data))

    @pytest.mark.parametrize("missing", [3, 4, 5, 20, 200])
    def test_more_is_missing(self, missing: int) -> None:
        assert refusal(SOUND[:-missing]).code is ItemErrorCode.TRUNCATED

    def test_what_follows_it_is_another_files_matter(self) -> None:
        for trailer in (bytes(5000), b"SEFT" * 40, SOUND, b"\xff\xd9" * 3):
            assert np.array_equal(decode(SOUND + trailer), decode(SOUND))


class TestScans:
    """libjpeg does not ask for all scans of a file: the picture would be coarse, or grey."""

    def scans(self) -> tuple[bytes, list[int]]:
        data = saved(photograph(200, 150), quality=90, progressive=True)
        return data, [match.start() for match in re.finditer(b"\xff\xda", data)]

    def test_a_progressive_picture_without_its_last_scans(self) -> None:
        data, starts = self.scans()
        assert len(starts) > 5
        for start in starts[1:]:
            end = data.rindex(b"\xff\xc4", 0, start)  # the tables before the scan
            error = refusal(data[:end] + b"\xff\xd9")
            assert error.code is ItemErrorCode.TRUNCATED
            assert "scans are missing" in str(error)

    def test_too_many_scans(self) -> None:
        data, starts = self.scans()
        last = data[data.rindex(b"\xff\xc4", 0, starts[-1]) : -2]
        assert refusal(data[:-2] + last * 600 + b"\xff\xd9").code is ItemErrorCode.UNSUPPORTED_FORMAT


def test_a_flat_picture_may_hold_long_runs_of_zeros() -> None:
    """Optimised tables give "nothing" the code of zeros: a blank area is then a run of zeros in a sound file."""
    image = Image.new("RGB", (2000, 1600), (255, 255, 255))
    image.paste(photograph(100, 80), (900, 700))
    data = saved(image, quality=75, optimize=True)
    assert bytes(64) in data[data.index(b"\xff\xda") :]
    assert decode(data)[0, 0].tolist() == [255, 255, 255]


def with_segments(*segments: bytes) -> bytes:
    return SOUND[:2] + b"".join(segments) + SOUND[2:]


class TestMetadata:
    """However large, odd or broken: the pixels are those of the bare picture."""

    @pytest.mark.parametrize(
        "data",
        [
            with_segments(jpeg_segment(0xE1, b"Exif\0\0" + bytes(range(256)) * 20)),
            with_segments(jpeg_segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\0\0\0\1\0\x63" * 400)),
            with_segments(jpeg_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + b"\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0" + bytes(4))),
            with_segments(*[jpeg_segment(0xFE, b"long comment " * 5000)] * 150),
            with_segments(*[jpeg_segment(0xE5, b"")] * 50_000),
            with_segments(jpeg_segment(0xE2, b"MPF\0" + b"\xff" * 200)),
            with_segments(jpeg_segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\xff\xff" + b"\xff" * 90)),
            with_segments(jpeg_segment(0xEE, b"Adobe")),
            with_segments(jpeg_segment(0xE0, b"JFXX\0\x10" + SOUND[:500])),
            with_segments(b"\xff\xfe\0\0"),
            with_segments(b"\xff\xe9\0\1"),
            with_segments(jpeg_segment(0xFE, b"a comment whose length is told too small") + b"left over"),
            with_segments(b"\xff" * 3000),
            SOUND.replace(b"JFIF\0\1\1", b"JFIF\0\x09\1", 1),
            SOUND.replace(b"JFIF\0\1\1\0\0\1\0\1", b"JFIF\0\1\1\x77\0\0\0\0", 1),
        ],
        ids=range(15),
    )
    def test_it_is_the_same_picture(self, data: bytes) -> None:
        assert data != SOUND
        assert np.array_equal(decode(data), decode(SOUND))

    def test_bytes_among_the_tables_are_damage(self) -> None:
        for marker in (b"\xff\xdb", b"\xff\xc4"):
            at = SOUND.index(marker) + 20
            assert refusal(SOUND[:at] + b"\r" + SOUND[at:]).code is ItemErrorCode.DAMAGED


class TestNames:
    """What is not decoded is named."""

    @pytest.mark.parametrize(
        ("marker", "name"),
        [
            (0xC3, "lossless JPEG"),
            (0xC5, "hierarchical"),
            (0xCB, "lossless arithmetic"),
            (0xDE, "hierarchical"),
            (0xF7, "JPEG-LS"),
        ],
    )
    def test_other_frames(self, marker: int, name: str) -> None:
        for data in (SOUND.replace(b"\xff\xc0", bytes([0xFF, marker])), b"\xff\xd8\xff" + bytes([marker]) + SOUND[4:60]):
            error = refusal(data)
            assert error.code is ItemErrorCode.UNSUPPORTED_FORMAT
            assert name in str(error)
            assert "convert it" in str(error)

    def test_bits_components_and_transforms(self) -> None:
        cmyk = saved(photograph(64, 48).convert("CMYK"))
        adobe = cmyk.index(b"\xff\xee")
        bare = re.sub(rb"\xff\xe0\0\x10JFIF.{11}", b"", SOUND, flags=re.DOTALL)
        for data, says in [
            (SOUND.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "12 bits"),
            (cmyk[:adobe] + cmyk[adobe + 16 :], "whether 0 is ink"),
            (bare[:2] + jpeg_segment(0xEE, b"Adobe\0\x64\0\0\0\0\x02") + bare[2:], "colour transform 2"),
            (saved(photograph(64, 48)).replace(b"\x03\x01\x22\x00", b"\x03\x01\x42\x00"), "sampling factors"),
        ]:
            error = refusal(data)
            assert error.code is ItemErrorCode.UNSUPPORTED_FORMAT, str(error)
            assert says in str(error)
