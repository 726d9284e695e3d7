"""DICOM images (PS3.3, PS3.5): the first frame as it is meant to be seen, and nothing of the patient.

Only the elements that pixels need are read. No value of any other one is parsed, kept or shown, nor is what pydicom says of a
broken one: it may quote a name.

- Photometric interpretation: MONOCHROME1 is inverted. PALETTE COLOR, RGB, YBR_FULL(_422); in JPEG 2000 YBR_ICT, YBR_RCT.
- Grey: slope and intercept (modality), then the first window or lookup table for display (C.11.2). Without one the whole range
  of the stored bits.
- Frames in JPEG go to the decoder of JPEGs, with all that it refuses. pydicom decodes RLE and plain samples, and OpenJPEG
  JPEG 2000.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import ItemError, ItemErrorCode
from core.imaging.faults import DECODER_ERRORS, damaged, truncated, unsupported
from core.imaging.jpeg import JpegPicture
from core.imaging.picture import Box, Picture
from core.notes import ItemNote

_NATIVE: Final = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
_RLE: Final = "1.2.840.10008.1.2.5"
_JPEG: Final = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
_JPEG_2000: Final = frozenset({f"1.2.840.10008.1.2.4.{last}" for last in (90, 91, 201, 202, 203)})
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_COLOURS: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_WANTED: Final = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "ICCProfile"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
_ADOBE_RGB: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"  # APP14: the components are red, green and blue
_SIZ: Final = b"\xff\x4f\xff\x51"  # how a JPEG 2000 codestream begins (ISO/IEC 15444-1, A.4 and A.5)


class DicomPicture(Picture):
    """A DICOM image; of several frames, the first."""

    __slots__ = ("_dataset", "_frame", "_syntax")

    def __init__(self, data: bytes) -> None:
        dataset, self._syntax = _read(data)
        _quietly(lambda: _check(dataset, self._syntax))
        self._dataset: Any = dataset
        notes = {ItemNote.EXTRA_PAGES} if _number(dataset, "NumberOfFrames", 1) > 1 else set()
        profile = bytes(dataset.get("ICCProfile") or b"") or None
        size = int(dataset.Columns), int(dataset.Rows)
        super().__init__("DICOM", size, 1, profile, notes)
        self._frame = b"" if self._syntax in _NATIVE else _first_frame(dataset)
        if self._syntax in _JPEG_2000:
            _check_codestream(self._frame, size)

    def decode(self, enough: tuple[int, int]) -> tuple[Image.Image, Box]:
        """See Picture.decode. JPEG frames may be scaled, others come at full size."""
        photometric = self._dataset.PhotometricInterpretation
        if self._syntax in _JPEG:
            image, box = self._decode_jpeg(enough)
        else:
            image = _quietly(lambda: _to_image(self._dataset))
            box = (0, 0, *image.size)
            if image.size != self.size:
                raise damaged("DICOM", f"its pixels are {image.size}, its header says {self.size}")
        return (image if photometric in _GREY else self.shown(image)), box

    def _decode_jpeg(self, enough: tuple[int, int]) -> tuple[Image.Image, Box]:
        frame, photometric = self._frame, self._dataset.PhotometricInterpretation
        if photometric == "RGB" and b"Adobe" not in frame[:4096] and b"JFIF" not in frame[:64]:
            frame = frame[:2] + _ADOBE_RGB + frame[2:]
        inner = JpegPicture(frame)
        if inner.size != self.size:
            raise damaged("DICOM", f"its frame is {inner.size}, its header says {self.size}")
        inner.profile, inner.orientation = None, 1  # only the data set's count
        image, box = inner.decode(enough)
        self.notes |= inner.notes - {ItemNote.EXTRA_PAGES}
        if photometric in _GREY:
            table = _shades(np.arange(256), self._dataset)
            image = image.point(np.tile(table, len(image.getbands())).tolist())
        return image, box


def _read(data: bytes) -> tuple[Any, str]:
    """The elements that pixels need, and the transfer syntax."""
    try:
        from pydicom import dcmread  # noqa: PLC0415 - an optional dependency, of no use for other formats
    except ImportError as error:
        raise ItemError(
            ItemErrorCode.UNSUPPORTED_FORMAT,
            "DICOM images need pydicom, which is not installed here; install dermq[dicom] or convert to JPEG",
        ) from error
    dataset = _quietly(lambda: dcmread(io.BytesIO(data), specific_tags=list(_WANTED)))
    return dataset, str(_quietly(lambda: dataset.file_meta.TransferSyntaxUID))


def _quietly(work: Callable[[], Any]) -> Any:
    """What pydicom does, without the words of its warnings and errors: they may quote what a data set says of a patient."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()
    except EOFError as error:
        raise truncated("DICOM", "an element is not all there") from error
    except ItemError:
        raise
    except DECODER_ERRORS as error:
        # `from None`: a traceback in a log would quote the original.
        raise damaged("DICOM", f"its elements or its pixels cannot be read ({type(error).__name__})") from None


def _number(dataset: Any, name: str, default: float) -> float:
    value = dataset.get(name)
    return default if value in (None, "") else float(value)


def _check(dataset: Any, syntax: str) -> None:
    """Refuse what would not come out right.

    Raises:
        ItemError: unsupported_format, damaged.
    """
    known = _NATIVE | _JPEG | _JPEG_2000 | {_RLE}
    if not dataset.get("PixelData"):
        raise unsupported("a DICOM file without 8- or 16-bit pixels (DICOMDIR, report, video)", "leave it out")
    if syntax not in known:
        raise unsupported(f"a DICOM image of the transfer syntax {syntax}", "convert it to an uncompressed one")
    for name in ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored"):
        if not dataset.get(name):
            raise damaged("DICOM", f"{name} is missing")
    samples, bits, photometric = dataset.SamplesPerPixel, dataset.BitsAllocated, dataset.PhotometricInterpretation
    if photometric not in (*_GREY, *_COLOURS, "PALETTE COLOR"):
        raise unsupported(f"a DICOM image of the photometric interpretation {str(photometric)[:16]!r}")
    if bits not in (8, 16) or not 0 < dataset.BitsStored <= bits:
        raise unsupported(f"a DICOM image of {dataset.BitsStored} bits in {bits}")
    if samples != (3 if photometric in _COLOURS else 1):
        raise damaged("DICOM", f"{photometric} has {samples} samples a pixel")
    if "ModalityLUTSequence" in dataset:
        raise unsupported("a DICOM image with a lookup table for its modality")
    if syntax in _NATIVE:
        needed = dataset.Rows * dataset.Columns * samples * (bits // 8)
        if photometric == "YBR_FULL_422":
            needed = needed * 2 // 3
        if len(dataset.PixelData) < needed:
            raise truncated("DICOM", f"{needed - len(dataset.PixelData):,} bytes of its pixels are missing")


def _first_frame(dataset: Any) -> bytes:
    from pydicom.encaps import get_frame  # noqa: PLC0415

    frames = int(_number(dataset, "NumberOfFrames", 1))
    frame = _quietly(lambda: get_frame(dataset.PixelData, 0, number_of_frames=frames))
    if not frame:
        raise truncated("DICOM", "its first frame is empty")
    return bytes(frame)


def _check_codestream(frame: bytes, size: tuple[int, int]) -> None:
    """Its own header announces as many pixels as the data set: what it says decides how much memory decoding takes."""
    at = frame.find(_SIZ)
    fields = [int.from_bytes(frame[at + 8 + n : at + 12 + n], "big") for n in (0, 4, 8, 12)]
    if at < 0 or len(frame) < at + 24 or (fields[0] - fields[2], fields[1] - fields[3]) != size:
        raise damaged("DICOM", f"its JPEG 2000 frame is not of {size[0]} x {size[1]} pixels")


def _to_image(dataset: Any) -> Image.Image:
    from pydicom.pixels.processing import apply_color_lut  # noqa: PLC0415
    from pydicom.pixels.utils import pixel_array  # noqa: PLC0415

    stored = pixel_array(dataset, index=0)  # colour comes as RGB
    photometric = dataset.PhotometricInterpretation
    if photometric in _GREY:
        return Image.fromarray(_shades(stored, dataset))
    if photometric == "PALETTE COLOR":
        bits = int(dataset.RedPaletteColorLookupTableDescriptor[2])
        return Image.fromarray(_highest_bits(apply_color_lut(stored, dataset), 8 if bits == 8 else 16))
    return Image.fromarray(_highest_bits(stored, int(dataset.BitsStored)))


def _highest_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    return (values >> (bits - 8) if bits > 8 else values).astype(np.uint8)


def _shades(stored: NDArray[Any], dataset: Any) -> NDArray[np.uint8]:
    """Stored grey values as they are shown: PS3.3, C.11.1 (modality) and C.11.2 (window), C.7.6.3.1.2 (inversion).

    Args:
        stored: integers of any shape.
        dataset: the elements of the image.

    Returns:
        uint8 of that shape.
    """
    if "VOILUTSequence" in dataset and dataset.VOILUTSequence:
        shown = _looked_up(stored, dataset)
    else:
        values = stored * _number(dataset, "RescaleSlope", 1) + _number(dataset, "RescaleIntercept", 0)
        shown = _windowed(values.astype(np.float64), dataset)
    shades = np.clip(np.floor(shown * 255 + 0.5), 0, 255).astype(np.uint8)
    inverted: NDArray[np.uint8] = 255 - shades if dataset.PhotometricInterpretation == "MONOCHROME1" else shades
    return inverted


def _looked_up(stored: NDArray[Any], dataset: Any) -> NDArray[np.float64]:
    from pydicom.pixels.processing import apply_voi  # noqa: PLC0415

    if (_number(dataset, "RescaleSlope", 1), _number(dataset, "RescaleIntercept", 0)) != (1, 0):
        raise unsupported("a DICOM image with a lookup table behind a slope")
    bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
    table: NDArray[np.float64] = apply_voi(stored, dataset).astype(np.float64) / (2**bits - 1)
    return table


def _windowed(values: NDArray[np.float64], dataset: Any) -> NDArray[np.float64]:
    """Values from 0 to 1: by the first window, else over the whole range of the stored bits."""
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if centre is None or width is None:
        bits, signed = int(dataset.BitsStored), bool(dataset.get("PixelRepresentation"))
        slope, intercept = _number(dataset, "RescaleSlope", 1), _number(dataset, "RescaleIntercept", 0)
        first = -(2 ** (bits - 1)) if signed else 0
        low, high = sorted(end * slope + intercept for end in (first, first + 2**bits - 1))
        return (values - low) / ((high - low) or 1.0)
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if function == "LINEAR" and width >= 1:  # C.11.2.1.2.1
        if width == 1:
            return (values > centre - 0.5).astype(np.float64)
        linear: NDArray[np.float64] = (values - (centre - 0.5)) / (width - 1) + 0.5
        return linear
    if function == "LINEAR_EXACT" and width > 0:  # C.11.2.1.3.2
        return (values - centre) / width + 0.5
    if function == "SIGMOID" and width > 0:  # C.11.2.1.3.1
        shades: NDArray[np.float64] = 1 / (1 + np.exp(-4 * (values - centre) / width))
        return shades
    raise damaged("DICOM", f"its window is {function[:16]} of width {width:g}")


def _first(value: Any) -> float | None:
    """The first of one or several windows."""
    if value is None or value == "":
        return None
    return float(value[0]) if hasattr(value, "__len__") and not isinstance(value, str) else float(value)
