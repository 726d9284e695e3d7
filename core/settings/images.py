"""What images may cost."""

from __future__ import annotations

from pydantic import Field

from core.secretfiles import Concern
from core.settings.reading import variables_of


class ImageLimits(Concern):
    """DERMQ_IMAGE_*: what one image may cost."""

    model_config = variables_of("DERMQ_IMAGE_")

    max_pixels: int = Field(default=100_000_000, description="Pixels of one image; more is `too_many_pixels`.")
    max_bytes: int = Field(
        default=64 * 1024 * 1024, description="Size of one member of an archive, uncompressed; more is `too_large`."
    )
    near_duplicates: bool = Field(
        default=True, description="Keep a hash of each picture, by which pictures of a job that look alike are found."
    )


class PictureSettings(Concern):
    """DERMQ_PICTURES_*: the processes of the API that decode: pictures for pages, and single images that are classified."""

    model_config = variables_of("DERMQ_PICTURES_")

    processes: int = Field(default=2, ge=1, le=64, description="Processes of the API that decode images, started when needed.")
    memory_bytes: int = Field(
        default=640 * 1024**2, ge=256 * 1024**2, description="What one may allocate, in bytes; a picture beyond is not shown."
    )
    timeout_s: float = Field(default=20.0, gt=0, description="How long one picture may take to decode.")
    cache_bytes: int = Field(default=64 * 1024**2, ge=0, description="Thumbnails that the API keeps in memory, in bytes.")
