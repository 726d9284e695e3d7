"""Bytes to pixels: the one decode path of worker, training and web pages.

sniffing.py   which format the bytes claim to be; what they look like when they are no image
opening.py    allow list and limits; gives a Picture
picture.py    an opened image: size, orientation and profile, read once
jpeg.py       JPEG: header and strict decode
plugins.py    all other formats, by Pillow's plugins, once png.py, tiff.py (ifd.py), webp.py, gif.py, bmp.py or heif.py has
              checked the file and taken out what its pixels need (contents.py)
dicom.py      DICOM, by pydicom, without anything of the patient
exif.py       orientation and Adobe RGB, out of EXIF and XMP
copies.py     marks of a bad copy in compressed data
colour.py     any pixel mode to opaque 8-bit sRGB, with profiles.py for colour profiles
quality.py    notes on light, colour and sharpness
shrinking.py  the resize of most JPEGs, by Pillow's C functions alone
decoding.py   resize and orientation: the arrays that models are trained on and fed with
thumbnails.py small upright JPEGs for pages
heatmap.py    a map of which places speak for a class, to be laid over a picture
faults.py     the one place where decoder exceptions become an ItemError
"""

from __future__ import annotations

from core.imaging.decoding import (
    PREPROCESSING_VERSION,
    DecodedImage,
    Resize,
    UnexaminedImage,
    decode_image,
    decode_unexamined,
    examine,
    preprocessing_hash,
)
from core.imaging.heatmap import draw_heatmap
from core.imaging.opening import ALLOWED_FORMATS
from core.imaging.thumbnails import thumbnail

__all__ = [
    "ALLOWED_FORMATS",
    "PREPROCESSING_VERSION",
    "DecodedImage",
    "Resize",
    "UnexaminedImage",
    "decode_image",
    "decode_unexamined",
    "draw_heatmap",
    "examine",
    "preprocessing_hash",
    "thumbnail",
]
