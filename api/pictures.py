"""Pictures for pages: decoded in processes of their own (api.decoders); small ones are kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from concurrent.futures import Future

from api.decoders import DecoderPool
from core.errors import ItemError
from core.imaging import DecodedImage, decode_image, thumbnail
from core.modelspec import ModelSpec
from core.settings import ImageLimits, PictureSettings


class PictureMaker:
    """Makes small upright JPEGs without metadata, and pixels for a model. Thread-safe."""

    def __init__(self, settings: PictureSettings, limits: ImageLimits, decoders: DecoderPool) -> None:
        """Nothing is started yet.

        Args:
            settings: how many bytes of pictures are kept.
            limits: bytes and pixels that an image may have.
            decoders: the processes; closed by whoever made them.
        """
        self._limits = limits
        self._decoders = decoders
        self._kept = _Kept(settings.cache_bytes)

    def find(self, key: Hashable) -> bytes | None:
        """A picture that was made for this key not long ago."""
        return self._kept.find(key)

    def make(self, data: bytes, max_side: int) -> bytes:
        """A JPEG of the whole image, at most `max_side` pixels wide and high.

        Raises:
            ItemError: why this image cannot be decoded, with too much memory or time among the reasons.
        """
        return self._decoders.settle(self._start(data, max_side))

    def decode(self, data: bytes, spec: ModelSpec) -> DecodedImage:
        """The image as a model sees it; raises as `make`."""
        return self._decoders.settle(self._decoders.start(_decode, data, spec, self._limits))

    def make_all(self, images: Sequence[tuple[Hashable, bytes]], max_side: int) -> dict[Hashable, bytes | ItemError]:
        """As `make`, several at a time, each with what became of it; the pictures are kept under their keys.

        Few are handed to the processes at a time: a page of pictures must not stand before a single image that is classified.
        """
        made: dict[Hashable, bytes | ItemError] = {}
        under_way: deque[tuple[Hashable, Future[bytes]]] = deque()
        for key, data in images:
            under_way.append((key, self._start(data, max_side)))
            if len(under_way) > self._decoders.processes:
                first, future = under_way.popleft()
                made[first] = self._settle(first, future)
        made.update((key, self._settle(key, future)) for key, future in under_way)
        return made

    def _start(self, data: bytes, max_side: int) -> Future[bytes]:
        return self._decoders.start(_make, data, max_side, self._limits)

    def _settle(self, key: Hashable, future: Future[bytes]) -> bytes | ItemError:
        try:
            picture = self._decoders.settle(future)
        except ItemError as error:
            return error
        self._kept.keep(key, picture)
        return picture


class _Kept:
    """The pictures that were asked for last, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pictures: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> bytes | None:
        with self._lock:
            picture = self._pictures.get(key)
            if picture is not None:
                self._pictures.move_to_end(key)
            return picture

    def keep(self, key: Hashable, picture: bytes) -> None:
        with self._lock:
            self._bytes += len(picture) - len(self._pictures.pop(key, b""))
            self._pictures[key] = picture
            while self._bytes > self._max_bytes:
                _, oldest = self._pictures.popitem(last=False)
                self._bytes -= len(oldest)


def _decode(data: bytes, spec: ModelSpec, limits: ImageLimits) -> DecodedImage:
    return decode_image(data, height=spec.input_height, width=spec.input_width, resize=spec.resize, limits=limits)


def _make(data: bytes, max_side: int, limits: ImageLimits) -> bytes:
    return thumbnail(data, max_side=max_side, limits=limits)
