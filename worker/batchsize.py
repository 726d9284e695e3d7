"""How many images go to the model in one request: about 512 kB of pixels, as a power of two, or what the operator says.

Fewer make the calls cost more than the images; with more, what a model's first layers compute does not fit into the cache of a
core. Measured on CPUs: of 2, 4 and 8 images at 224 x 224, 4 were the best (MobileNetV2); at 28 x 28 all from 16 to 256 cost the
same.
"""

from __future__ import annotations

import math

from core.modelspec import ModelSpec

PIXEL_BYTES = 1 << 19  # of a batch as the model gets it, uint8
LEAST_IMAGES = 2
MOST_IMAGES = 128  # max_batch_size in serving/config/


def batch_images(spec: ModelSpec, wanted: int | None) -> int:
    """Images in a request, at least 1.

    Args:
        spec: its input's height and width count.
        wanted: what the operator has set; None: by the spec.
    """
    if wanted is not None:
        return wanted
    exponent = round(math.log2(PIXEL_BYTES / (spec.input_height * spec.input_width * 3)))
    return min(MOST_IMAGES, max(LEAST_IMAGES, 1 << max(0, exponent)))
