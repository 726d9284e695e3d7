"""Bytes that are no image, or no longer one: always an ItemError with the right code, never anything else."""

from __future__ import annotations

import gzip
import io
import sys
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import ItemError, ItemErrorCode
from core.imaging import decode_image, thumbnail
from core.imaging.faults import decoding
from core.settings import ImageLimits

LIMITS = ImageLimits(max_pixels=4_000_000, max_bytes=1_000_000)
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")


@cache
def sample(fmt: str) -> bytes:
    """A small picture with as many kinds of metadata as the format carries."""
    y, x = np.mgrid[0:90, 0:120]
    noise = np.random.default_rng(7).integers(0, 40, (90, 120, 3))
    image = Image.fromarray((np.stack([x, y * 2, 200 - x], -1) + noise).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a maker's name that is long enough to lie out of line"
    options: dict[str, Any] = {
        "JPEG": {"exif": exif, "comment": b"comment", "icc_profile": bytes(300), "progressive": True},
        "PNG": {"exif": exif},
        "WEBP": {"exif": exif},
        "TIFF": {"exif": exif, "compression": "tiff_lzw"},
    }.get(fmt, {})
    stream = io.BytesIO()
    image.save(stream, fmt, **options)
    return stream.getvalue()


def decode(data: bytes, limits: ImageLimits = LIMITS) -> None:
    decode_image(data, height=28, width=28, limits=limits)


def failure(data: bytes) -> ItemError:
    with pytest.raises(ItemError) as caught:
        decode(data)
    return caught.value


@pytest.mark.parametrize("fmt", FORMATS)
def test_cut_anywhere_it_is_truncated(fmt: str) -> None:
    data = sample(fmt)
    for tenth in range(1, 10):
        error = failure(data[: len(data) * tenth // 10])
        assert error.code is ItemErrorCode.TRUNCATED, f"{tenth}/10: {error}"
        assert fmt in str(error)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as core.imaging sets it outside of pytest
def test_cut_within_the_header_it_is_a_coded_failure(fmt: str) -> None:
    for length in range(1, 160):
        error = failure(sample(fmt)[:length])
        assert error.code in (ItemErrorCode.TRUNCATED, ItemErrorCode.NOT_AN_IMAGE), f"{length} bytes: {error}"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"Patient: Jane Doe\nfollow up in March\n", "plain text"),
        ("Größe 3 mm, unverändert".encode() * 60, "plain text"),
        ("notes".encode("utf-16"), "plain text"),
        (b"BM of notes that begin like a bitmap", "plain text"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        (b"PK\x03\x04\x14\0\0\0", "a ZIP archive"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "gzip data"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a video (MP4) file"),
        (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "an AppleDouble file"),
        (bytes(5000), "zeros"),
        (b"\x93\xfa\x01\x02\x88\x99\xaa\xbb\xcc", "begins with 93 fa 01 02 88 99 aa bb"),
    ],
)
def test_no_image_is_described_and_never_quoted(data: bytes, says: str) -> None:
    error = failure(data)
    assert error.code is ItemErrorCode.NOT_AN_IMAGE
    assert says in str(error)
    assert "Jane" not in str(error)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"%PDF-1.7\n", "PDF document"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"\0\0\x01\0\x01\0", "Windows icon"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\xc5\xd0\xd3\xc6", "EPS"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"<svg viewBox='0 0 1 1'/>", "SVG"),
        (b"P6\n1 1\n255\n\0\0\0", "Netpbm"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x0a\x00", "JPEG XL"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", "Canon raw photograph"),
        (b"\x02\0\0\0UL\x04\0\xc0\0\0\0", "DICOM"),
        (b"\x08\0\x05\0CS\x0a\0ISO_IR 100", "DICOM"),
        (b"\x08\0\x08\0\x10\0\0\0ORIGINAL\\PRIMARY", "DICOM"),
        (b"junk before\n%PDF-1.4\n", "PDF"),
        (gzip.compress(b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', mtime=0), "SVG"),
        (b"II\xbc\x01\x08\0\0\0", "JPEG XR"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x4f\xff\x51\0\x29", "JPEG 2000"),
        (b"IIRO\x08\0\0\0", "ORF"),
        (b"IIU\0\x18\0\0\0", "RW2"),
        (b"FUJIFILMCCD-RAW 0201", "RAF"),
        (b"FOVb\0\0\2\0", "X3F"),
        (b"II\x1a\0\0\0HEAPCCDR", "CRW"),
        (b"\x01\0\0\0\x6c\0\0\0" + bytes(32) + b" EMF", "metafile"),
    ],
)
def test_known_formats_that_are_not_allowed_are_named(data: bytes, says: str) -> None:
    error = failure(data)
    assert error.code is ItemErrorCode.UNSUPPORTED_FORMAT
    assert says in str(error)
    assert "JPEG, PNG, WEBP, TIFF, BMP, GIF, HEIF, AVIF, DICOM" in str(error)


def test_damage_in_the_middle_of_a_png_is_told_from_a_cut() -> None:
    data = bytearray(sample("PNG"))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    assert "damaged" in str(failure(bytes(data)))


def test_heic_without_its_plugin_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as Python marks a module that cannot be imported
    error = failure(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    assert error.code is ItemErrorCode.UNSUPPORTED_FORMAT
    assert "install dermq[heic]" in str(error)


def test_a_limit_of_the_task_queue_passes_through() -> None:
    """Celery's SoftTimeLimitExceeded is a plain Exception, raised wherever the decoder happens to be: not the image's fault."""

    class SoftTimeLimitExceeded(Exception):
        pass

    with pytest.raises(SoftTimeLimitExceeded), decoding("JPEG", (120, 90)):
        raise SoftTimeLimitExceeded


def test_no_memory_is_a_coded_failure() -> None:
    with (
        pytest.raises(ItemError, match="not enough memory for this JPEG") as caught,
        decoding("JPEG", (120, 90)),
    ):
        raise MemoryError
    assert caught.value.code is ItemErrorCode.TOO_MANY_PIXELS


FUZZ = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def survives(data: bytes) -> None:
    """Success or an ItemError that says something; metadata warnings are off, as core.imaging sets it outside of pytest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for attempt in (decode, lambda data: thumbnail(data, max_side=32, limits=LIMITS)):
            said = "decoded"
            try:
                attempt(data)
            except ItemError as error:
                said = str(error)
            assert said == "decoded" or len(said) > 20


@FUZZ
@given(st.binary(max_size=400))
def test_random_bytes(data: bytes) -> None:
    survives(data)


@FUZZ
@given(fmt=st.sampled_from(FORMATS), tail=st.binary(max_size=300), keep=st.integers(2, 40))
def test_a_real_beginning_and_a_random_end(fmt: str, tail: bytes, keep: int) -> None:
    survives(sample(fmt)[:keep] + tail)


@settings(FUZZ, max_examples=400)
@given(data=st.data(), fmt=st.sampled_from(FORMATS))
def test_real_images_with_changed_bytes(data: st.DataObject, fmt: str) -> None:
    image = bytearray(sample(fmt))
    header = st.integers(0, min(700, len(image) - 1))  # where the structure is
    for at in data.draw(st.lists(st.one_of(header, st.integers(0, len(image) - 1)), min_size=1, max_size=6)):
        image[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        start = data.draw(header)
        del image[start : start + data.draw(st.integers(1, 50))]
    survives(bytes(image))
