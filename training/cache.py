"""Decodes a data set once, in parallel, into an array on disk, keyed by the images' content and the decoding settings.

Images pass through `core.imaging`, the same path a worker takes; the preprocessing hash is part of the key, so a change of
that path can never meet an old cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.progress import track

from core.errors import ConfigurationError, InvalidRequestError
from core.imaging import Resize, decode_image, preprocessing_hash
from core.processors import usable_processors
from core.settings import ImageLimits
from training.datasets.base import Dataset, ImageSource, UInt8Array

_ADVICE = "set XDG_CACHE_HOME to a folder that can be written"


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/dermq`, by default below the home folder.

    Raises:
        ConfigurationError: the variable is not set, and the user has no home folder.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "dermq"
    try:
        return root.expanduser()
    except RuntimeError as error:  # so pathlib says it
        raise ConfigurationError(
            f"the cache of decoded images {root} cannot be found: {str(error).rstrip('.')}; {_ADVICE}"
        ) from error


def load_pixels(dataset: Dataset, *, height: int, width: int, resize: Resize = "stretch") -> UInt8Array:
    """All images of a data set as uint8 [n, height, width, 3], in the order of its samples.

    Raises:
        InvalidRequestError: a data set of arrays has another size than the one asked for.
        ItemError: an image cannot be decoded; its id is in the message's notes.
        ConfigurationError: the cache's folder cannot be found or written.
    """
    if dataset.pixels is not None:
        if dataset.pixels.shape[1:3] != (height, width):
            got = "x".join(str(n) for n in dataset.pixels.shape[1:3])
            raise InvalidRequestError(f"{dataset.name}: images are {got}, the architecture expects {height}x{width}")
        return dataset.pixels
    if dataset.source is None:
        raise InvalidRequestError(f"{dataset.name}: has neither images nor arrays")
    path = cache_root() / "pixels" / f"{_cache_key(dataset.source, height, width, resize)}.npy"
    _make(path.parent)
    if not path.is_file():
        _write_atomically(path, _decode_all(dataset, dataset.source, height, width, resize))
    return np.asarray(np.load(path, mmap_mode="r"))


def _cache_key(source: ImageSource, height: int, width: int, resize: Resize) -> str:
    settings = preprocessing_hash(height, width, resize)
    return f"{source.content_key()[:24]}-{height}x{width}-{settings}"


def _decode_all(dataset: Dataset, source: ImageSource, height: int, width: int, resize: Resize) -> UInt8Array:
    pixels = np.empty((len(dataset), height, width, 3), np.uint8)
    limits = ImageLimits()

    def decode_stripe(positions: range) -> int:
        with source.open() as reader:  # one reader a stripe: a ZIP handle is not for several threads
            for position in positions:
                try:
                    decode_image(
                        reader.read(position), height=height, width=width, resize=resize, limits=limits, out=pixels[position]
                    )
                except Exception as error:
                    error.add_note(f"while decoding {dataset.samples[position].id} of {dataset.name}")
                    raise
        return len(positions)

    stripe = 128
    stripes = [range(start, min(start + stripe, len(dataset))) for start in range(0, len(dataset), stripe)]
    with ThreadPoolExecutor(usable_processors()) as pool:
        _drain(track(pool.map(decode_stripe, stripes), f"decoding {dataset.title}", total=len(stripes)))
    return pixels


def _drain(results: Iterable[int]) -> None:
    for _ in results:
        pass


def _make(folder: Path) -> None:
    """Make the folder before the images are decoded, which takes long."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the cache of decoded images {folder} cannot be made: {error.strerror}; {_ADVICE}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"the cache of decoded images {folder} cannot be written; {_ADVICE}")


def _write_atomically(path: Path, pixels: UInt8Array) -> None:
    partial = path.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as file:
        np.save(file, pixels)
    partial.replace(path)
