"""Decodes one image as a worker does: the same function, in a process with limits."""

from __future__ import annotations

from core.archives.single import SingleImage
from core.errors import ItemError
from core.imaging import DecodedImage, decode_image
from core.modelspec import ModelSpec
from core.settings import ImageLimits
from core.storage.memory import MemoryAccess


def decode_single(data: bytes, name: str, spec: ModelSpec, limits: ImageLimits) -> DecodedImage:
    """Read the one member of an archive of one image, and decode it to what the model expects.

    Raises:
        ItemError: why this image cannot be decoded; a worker would say the same.
        MemoryError: this process may not take as much as it needs. A worker may.
    """
    archive = SingleImage(MemoryAccess(data), name, limits.max_bytes)
    try:
        [member] = archive.members()
        return decode_image(
            archive.read(member), height=spec.input_height, width=spec.input_width, resize=spec.resize, limits=limits
        )
    except ItemError as error:
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from None
        raise
