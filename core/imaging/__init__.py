"""Bytes to pixels: the one decode path of worker, training and web pages.

sniffing.py   which format the bytes claim to be; what they look like when they are no image
opening.py    allow list, header checks, and the one place where decoder exceptions become an ItemError
colour.py     any pixel mode to opaque 8-bit RGB
decoding.py   draft, resize and orientation: the arrays that models are trained on and fed with
thumbnails.py small upright JPEGs for pages
"""

from __future__ import annotations

from core.imaging.decoding import PREPROCESSING_VERSION, DecodedImage, Resize, decode_image, preprocessing_hash
from core.imaging.opening import ALLOWED_FORMATS
from core.imaging.thumbnails import thumbnail

__all__ = [
    "ALLOWED_FORMATS",
    "PREPROCESSING_VERSION",
    "DecodedImage",
    "Resize",
    "decode_image",
    "preprocessing_hash",
    "thumbnail",
]
