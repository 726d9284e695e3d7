"""From any decoder's exception to an ItemError."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from types import TracebackType
from typing import Final

from PIL import Image

from core.errors import ItemError, ItemErrorCode

# All that Pillow, its plugins, pillow-heif and simplejpeg are known to raise on hostile bytes. Not `Exception`: a soft time
# limit of the task queue arrives as an exception in the middle of a decode, and is no fault of the image.
DECODER_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    Image.DecompressionBombError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,  # where an operator made warnings errors
    struct.error,
    zlib.error,
)
_UNSUPPORTED_WORDS: Final = (
    "cannot handle",
    "not available",
    "not supported",
    "not yet supported",
    "unknown data organization",
    "unknown pixel mode",
    "unknown raw mode",
    "unsupported",
)
_TRUNCATED_WORDS: Final = ("truncated", "cannot read full", "end of file", "unexpected eof")
_HUGE: Final = Lock()


def decoding(name: str, size: tuple[int, int]) -> AbstractContextManager[None]:
    """Pixels of an image of format `name` and `size` are decoded within: what goes wrong there leaves as an ItemError."""
    return _Decoding(name, size)


class _Decoding(AbstractContextManager[None]):
    """No generator: for each image, that would cost three times as much."""

    __slots__ = ("_lifted", "_name", "_size")

    def __init__(self, name: str, size: tuple[int, int]) -> None:
        self._name = name
        self._size = size
        self._lifted: AbstractContextManager[None] | None = None

    def __enter__(self) -> None:
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and self._size[0] * self._size[1] > limit:
            self._lifted = _own_pixel_limit()
            self._lifted.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lifted is not None:
            self._lifted.__exit__(None, None, None)
        if isinstance(error, DECODER_ERRORS):
            raise item_error(self._name, error, at_end=False, doing="decoding its pixels") from error


def truncated(name: str, what: str) -> ItemError:
    """The bytes end before the image does."""
    return ItemError(ItemErrorCode.TRUNCATED, f"the {name} image ends too early: {what}; copy it again")


def damaged(name: str, what: str) -> ItemError:
    """All bytes are there, but they are not what the writer wrote."""
    return ItemError(ItemErrorCode.DAMAGED, f"the {name} image is damaged: {what}; copy it again")


def unsupported(what: str, advice: str = "convert it to 8-bit RGB") -> ItemError:
    """A format, or a variant of one, that is not decoded."""
    return ItemError(ItemErrorCode.UNSUPPORTED_FORMAT, f"{what} cannot be decoded here; {advice}")


def item_error(name: str, error: Exception, *, at_end: bool, doing: str) -> ItemError:
    """What a decoder's exception says about the image.

    Args:
        name: of the format.
        error: one of DECODER_ERRORS.
        at_end: the decoder had read all bytes when it failed.
        doing: what was being done, for the message.
    """
    text = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, MemoryError):
        return ItemError(
            ItemErrorCode.TOO_MANY_PIXELS, f"not enough memory for this {name} image while {doing}; make it smaller"
        )
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ItemError(ItemErrorCode.TOO_MANY_PIXELS, f"too many pixels in this {name} image: {text}")
    unknown_variant = isinstance(error, SyntaxError) and isinstance(error.__cause__, KeyError)
    if unknown_variant or any(words in text.lower() for words in _UNSUPPORTED_WORDS):
        return ItemError(
            ItemErrorCode.UNSUPPORTED_FORMAT, f"a variant of {name} that cannot be decoded ({text}); convert it to 8-bit RGB"
        )
    if at_end or any(words in text.lower() for words in _TRUNCATED_WORDS):
        return truncated(name, f"{doing} failed ({text})")
    return damaged(name, f"{doing} failed ({text})")


@contextmanager
def _own_pixel_limit() -> Iterator[None]:
    """Some plugins ask Pillow's process-wide limit once more when they load; an image within ours must pass it.

    The limit is lifted for as long as such a huge image takes, one at a time, and then put back: nobody else loses it for good.
    """
    with _HUGE:
        saved, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = saved
