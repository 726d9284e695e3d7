"""Drawn DICOM images, with a patient's name in them that must never come out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

PATIENT = "Mustermann^Erika"


def dicom(
    pixels: np.ndarray | bytes,
    photometric: str,
    *,
    size: tuple[int, int] | None = None,
    stored: int = 0,
    syntax: str = ExplicitVRLittleEndian,
    **elements: Any,
) -> bytes:
    """A DICOM file.

    Args:
        pixels: [height, width] or [height, width, 3] as stored, or the bytes of one encapsulated frame.
        photometric: interpretation.
        size: (width, height), where `pixels` are bytes.
        stored: bits, those of the array if 0.
        syntax: transfer syntax.
        elements: more of the data set, by keyword.
    """
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.PatientName, data.PatientID, data.PatientBirthDate = PATIENT, "4711", "19500101"
    is_grey = photometric.startswith("MONOCHROME") or photometric == "PALETTE COLOR"
    data.PhotometricInterpretation, data.SamplesPerPixel = photometric, 1 if is_grey else 3
    if not is_grey:
        data.PlanarConfiguration = 0
    if isinstance(pixels, bytes):
        assert size
        data.Columns, data.Rows, bits, signed = *size, 8, 0
        data.PixelData = encapsulate([pixels])
    else:
        data.Rows, data.Columns = pixels.shape[:2]
        bits, signed = pixels.dtype.itemsize * 8, int(pixels.dtype.kind == "i")
        raw = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        data.PixelData = raw + bytes(len(raw) % 2)
    data.BitsAllocated, data.BitsStored, data.PixelRepresentation = bits, stored or bits, signed
    data.HighBit = data.BitsStored - 1
    data["PixelData"].VR = "OB" if bits == 8 else "OW"
    for name, value in elements.items():
        setattr(data, name, value)
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()
