"""From members to uint8 batches: read, decode, and keep what could not be decoded as outcomes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from core.archives.base import Archive, Member
from core.archives.parallel import Read, read_ahead
from core.db.outcomes import ItemOutcome
from core.errors import ItemError, ItemErrorCode
from core.imaging import UnexaminedImage, decode_unexamined
from core.modelspec import ModelSpec
from core.settings import ImageLimits
from serving.outcomes import DecodedItem
from worker.telemetry.stopwatch import Stopwatch


@dataclass(slots=True)
class Batch:
    """Up to batch_items images, and the items met on the way that could not be decoded."""

    images: npt.NDArray[np.uint8]  # [batch_items, height, width, 3]; the first len(items) rows are set
    items: list[DecodedItem] = field(default_factory=list)
    failures: list[ItemOutcome] = field(default_factory=list)

    @property
    def filled(self) -> npt.NDArray[np.uint8]:
        """uint8 [len(items), height, width, 3]."""
        return self.images[: len(self.items)]


@dataclass(slots=True)
class _Filling:
    """A batch that is being filled, and what is known of its images so far."""

    batch: Batch
    names: list[tuple[int, str]] = field(default_factory=list)
    decoded: list[UnexaminedImage] = field(default_factory=list)


@dataclass(slots=True)
class BatchDecoder:
    """Decodes the members of one archive to what one model expects."""

    archive: Archive
    spec: ModelSpec
    limits: ImageLimits
    batch_items: int
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    _current: tuple[int, str, float] | None = None  # the item in the decoder: number, name, when it went in

    def blame_current(self, longer_than_s: float) -> ItemOutcome | None:
        """When a time limit strikes: the outcome of the item in the decoder, if it alone took longer than that."""
        if self._current is None:
            return None
        number, name, since = self._current
        took_s = time.monotonic() - since
        if took_s < longer_than_s:
            return None
        message = f"decoding took longer than {took_s:.0f} s and was stopped; look at the file by itself, or convert it anew"
        return ItemOutcome(number, name, error_code=ItemErrorCode.DECODE_TIMEOUT, error=message)

    def batches(self, members: Iterable[tuple[int, Member]]) -> Iterator[Batch]:
        """Yield batches in item order; the last one may be short, or hold failures only.

        Raises:
            StorageUnavailableError: the archive's bytes cannot be reached now.
        """
        filling = self._begin()
        with closing(read_ahead(self.archive, members)) as found:  # an error ends what is asked for ahead at once
            for number, member, read in found:
                self._add(filling, number, member, read)
                if len(filling.decoded) == self.batch_items:
                    yield self._complete(filling)
                    filling = self._begin()
        if filling.decoded or filling.batch.failures:
            yield self._complete(filling)

    def _begin(self) -> _Filling:
        return _Filling(Batch(np.empty((self.batch_items, self.spec.input_height, self.spec.input_width, 3), np.uint8)))

    def _complete(self, filling: _Filling) -> Batch:
        """The batch with its items: notes and hashes are taken of all images at once."""
        began = time.monotonic()
        batch, decoded = filling.batch, filling.decoded
        batch.items = DecodedItem.of_batch(filling.names, decoded, batch.images[: len(decoded)], self.limits)
        self.stopwatch.decode_s += time.monotonic() - began
        return batch

    def _add(self, filling: _Filling, number: int, member: Member, read_bytes: Read) -> None:
        batch = filling.batch
        if member.error is not None:
            error = ItemError(member.error, member.error_text)
            batch.failures.append(ItemOutcome.from_error(number, member.name, error))
            return
        began = time.monotonic()
        self._current = (number, member.name, began)
        read = None  # when all its bytes were there
        try:
            data = read_bytes()
            read = time.monotonic()
            decoded = decode_unexamined(
                data,
                height=self.spec.input_height,
                width=self.spec.input_width,
                resize=self.spec.resize,
                limits=self.limits,
                out=batch.images[len(filling.decoded)],
            )
        except ItemError as error:
            batch.failures.append(ItemOutcome.from_error(number, member.name, error))
        else:
            filling.names.append((number, member.name))
            filling.decoded.append(decoded)
        self._current = None
        ended = time.monotonic()
        self.stopwatch.read_s += (read or ended) - began
        self.stopwatch.decode_s += ended - (read or ended)
