"""DICOM: each photometric interpretation and window against the formulas of PS3.3, damage, and no word of the patient."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_rescale, apply_voi_lut, convert_color_space
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from core.errors import ItemError, ItemErrorCode
from core.imaging import decode_image, thumbnail
from core.notes import ItemNote
from core.settings import ImageLimits
from tests.support.dicoms import PATIENT, dicom
from tests.support.image_rows import GREY, HEIGHT, SCENE, WIDTH
from tests.support.pictures import saved

SIZE = (WIDTH, HEIGHT)
DEEP = (np.arange(WIDTH * HEIGHT, dtype=np.uint16) % 4096).reshape(HEIGHT, WIDTH)  # 12 bits


def decoded(data: bytes) -> np.ndarray:
    return decode_image(data, height=HEIGHT, width=WIDTH, limits=ImageLimits()).pixels


def grey(data: bytes) -> np.ndarray:
    pixels = decoded(data)
    assert (pixels[..., :1] == pixels).all()
    return pixels[..., 0]


def failure(data: bytes) -> ItemError:
    with pytest.raises(ItemError) as caught:
        decoded(data)
    for text in (str(caught.value), repr(caught.value.__cause__), repr(caught.value.__context__)):
        assert "Mustermann" not in text
    return caught.value


def test_grey_is_shown_as_it_is_meant() -> None:
    assert (grey(dicom(GREY, "MONOCHROME2")) == GREY).all()
    assert (grey(dicom(GREY, "MONOCHROME1")) == 255 - GREY).all()


def test_without_a_window_the_whole_range_is_shown() -> None:
    shown = grey(dicom(DEEP, "MONOCHROME2", stored=12))
    assert np.abs(shown - DEEP / 4095 * 255).max() <= 0.5
    signed = DEEP.astype(np.int16) - 2048
    assert (grey(dicom(signed, "MONOCHROME2", stored=12)) == shown).all()
    sloped = dicom(signed, "MONOCHROME2", stored=12, RescaleSlope="-2", RescaleIntercept="100")
    assert np.abs(grey(sloped).astype(int) - (255 - shown)).max() <= 1
    assert (grey(dicom(DEEP, "MONOCHROME2", stored=12, RescaleSlope="0.0001")) == shown).all()


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_windows_are_those_of_a_viewer(function: str, photometric: str) -> None:
    window = {"WindowCenter": ["900", "100"], "WindowWidth": ["1200", "50"], "VOILUTFunction": function}
    data = dicom(DEEP, photometric, stored=12, RescaleSlope="1.5", RescaleIntercept="-200", **window)
    dataset = dcmread(io.BytesIO(data))
    viewer = apply_voi_lut(apply_rescale(DEEP, dataset), dataset, index=0)
    low, high = -200.0, 4095 * 1.5 - 200
    expected = (viewer - low) / (high - low) * 255
    shown = grey(data).astype(float)
    assert np.abs((255 - shown if photometric == "MONOCHROME1" else shown) - expected).max() <= 0.51
    assert shown.max() - shown.min() > 200


def test_a_lookup_table_for_display() -> None:
    table = Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.LUTData = np.linspace(65535, 0, 256).astype("<u2").tobytes()
    table["LUTData"].VR = "OW"
    shown = grey(dicom(GREY, "MONOCHROME2", VOILUTSequence=[table]))
    assert np.abs(shown.astype(int) - (255 - GREY)).max() <= 1


def test_colour_and_palette() -> None:
    assert (decoded(dicom(SCENE, "RGB")) == SCENE).all()
    ybr = convert_color_space(SCENE, "RGB", "YBR_FULL")
    assert np.abs(decoded(dicom(ybr, "YBR_FULL")).astype(int) - SCENE).max() <= 3
    assert (decoded(dicom(SCENE.astype(np.uint16) * 257, "RGB")) == SCENE).all()
    numbers = np.arange(WIDTH * HEIGHT, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    tables = [np.arange(256), 255 - np.arange(256), np.full(256, 7)]
    palette: dict[str, Any] = {f"{name}Descriptor": [256, 0, 16] for name in names}
    palette |= {f"{name}Data": (table * 257).astype("<u2").tobytes() for name, table in zip(names, tables, strict=True)}
    shown = decoded(dicom(numbers, "PALETTE COLOR", **palette))
    assert (shown == np.stack([numbers, 255 - numbers, np.full_like(numbers, 7)], -1)).all()


def test_jpeg_frames_go_to_the_decoder_of_jpegs() -> None:
    image = Image.fromarray(SCENE)
    plain = saved(image, quality=95, subsampling=0)
    data = dicom(plain, "YBR_FULL_422", size=SIZE, syntax=JPEGBaseline8Bit)
    assert (decoded(data) == decoded(plain)).all()
    assert thumbnail(data, max_side=32, limits=ImageLimits()) == thumbnail(plain, max_side=32, limits=ImageLimits())
    rgb = saved(image, quality=95, keep_rgb=True)
    start = rgb.index(b"\xff\xee")
    bare = rgb[:start] + rgb[start + 16 :]  # without Adobe's marker: DICOM alone says that it is RGB
    shown = decoded(dicom(bare, "RGB", size=SIZE, syntax=JPEGBaseline8Bit))
    assert np.abs(shown.astype(int) - SCENE).mean() < 3
    inverted = dicom(saved(Image.fromarray(GREY), quality=95), "MONOCHROME1", size=SIZE, syntax=JPEGBaseline8Bit)
    assert np.abs(grey(inverted).astype(int) - (255 - GREY)).mean() < 3
    cut = dicom(plain[:-200], "YBR_FULL_422", size=SIZE, syntax=JPEGBaseline8Bit)
    assert failure(cut).code is ItemErrorCode.TRUNCATED


@pytest.mark.parametrize(
    ("syntax", "options", "tolerance"), [(JPEG2000Lossless, {"irreversible": False}, 0), (JPEG2000, {"irreversible": True}, 3)]
)
def test_jpeg_2000_frames(syntax: str, options: dict[str, Any], tolerance: float) -> None:
    frame = saved(Image.fromarray(SCENE), "JPEG2000", no_jp2=True, **options)
    shown = decoded(dicom(frame, "YBR_RCT", size=SIZE, syntax=syntax))
    assert np.abs(shown.astype(int) - SCENE).mean() <= tolerance
    bomb = saved(Image.new("L", (4000, 3000)), "JPEG2000", no_jp2=True)
    assert failure(dicom(bomb, "MONOCHROME2", size=SIZE, syntax=syntax)).code is ItemErrorCode.DAMAGED


def test_rle_and_several_frames() -> None:
    dataset = dcmread(io.BytesIO(dicom(SCENE, "RGB")))
    dataset.compress(RLELossless)
    out = io.BytesIO()
    dataset.save_as(out)
    assert (decoded(out.getvalue()) == SCENE).all()
    many = dicom(np.concatenate([GREY, 255 - GREY]), "MONOCHROME2", Rows=HEIGHT, NumberOfFrames="2")
    result = decode_image(many, height=HEIGHT, width=WIDTH, limits=ImageLimits())
    assert ItemNote.EXTRA_PAGES in result.notes
    assert (result.pixels[..., 0] == GREY).all()


REFUSED: dict[str, tuple[bytes, ItemErrorCode, str]] = {
    "lossless JPEG": (dicom(b"\xff\xd8", "MONOCHROME2", size=SIZE, syntax=JPEGLosslessSV1), "unsupported_format", "1.2.4.70"),
    "deflated": (dicom(GREY, "MONOCHROME2", syntax=DeflatedExplicitVRLittleEndian), "unsupported_format", "1.2.1.99"),
    "no pixels": (dicom(GREY, "MONOCHROME2", PixelData=b""), "unsupported_format", "without 8- or 16-bit pixels"),
    "rows are missing": (dicom(GREY[:-1], "MONOCHROME2", Rows=HEIGHT), "truncated", "64 bytes"),
    "cut off": (dicom(GREY, "MONOCHROME2")[:700], "truncated", "2,982 bytes of its pixels"),
    "an unknown interpretation": (dicom(SCENE, "HSV"), "unsupported_format", "'HSV'"),
    "two samples": (dicom(GREY, "MONOCHROME2", SamplesPerPixel=2), "damaged", "2 samples"),
    "a window of no width": (
        dicom(GREY, "MONOCHROME2", WindowCenter="5", WindowWidth="0"),
        "damaged",
        "its window is LINEAR of width 0",
    ),
    "32 bits": (dicom(GREY.astype(np.uint32), "MONOCHROME2"), "unsupported_format", "32 bits"),
    "too many pixels": (dicom(GREY, "MONOCHROME2", Rows=65535, Columns=65535), "truncated", "are missing"),
}


@pytest.mark.parametrize(("data", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_what_would_come_out_wrong_is_refused(data: bytes, code: str, words: str) -> None:
    error = failure(data)
    assert str(error.code) == code
    assert words in str(error)


def test_nothing_of_the_patient_is_read_or_said(caplog: pytest.LogCaptureFixture) -> None:
    data = dicom(GREY, "MONOCHROME2")
    assert PATIENT.encode() in data
    broken = data.replace(b"19500101", b"Mustermn")  # a birthday that is none: pydicom would quote it
    from core.imaging import dicom as module

    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert (grey(broken) == GREY).all()
        dataset, _ = module._read(broken)
        for end in range(200, len(broken) - GREY.size, 37):
            failure(broken[:end])
    assert not any("Muster" in line for line in [caplog.text, *(str(each.message) for each in warned), str(dataset)])
    assert "PatientName" not in dataset


def test_without_pydicom_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dicom(GREY, "MONOCHROME2")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    error = failure(data)
    assert error.code is ItemErrorCode.UNSUPPORTED_FORMAT
    assert "install dermq[dicom]" in str(error)
