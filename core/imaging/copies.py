"""Marks that a bad copy leaves in compressed data, which looks like noise: runs of zeros, and line ends that were changed."""

from __future__ import annotations

from typing import Final

_FEWEST: Final = 6  # line feeds; in noise one byte in 256 is one


def has_hole(compressed: bytes, pixels: int) -> bool:
    """Whether a long run of zeros stands in the stream, as a hole in a file, a lost block or a broken download leaves it.

    For streams of VP8, VP8L, AV1 and HEVC. The longest run in a sound one was measured: a byte for each 9,400 pixels, in VP8,
    where all of the picture is flat. A hole is a run of more than twice that, and of 64 bytes at least.

    Args:
        compressed: the coded pixels, without metadata.
        pixels: width times height of the picture.
    """
    return bytes(max(64, pixels // 4096)) in compressed


def is_text_copy(compressed: bytes) -> bool:
    """Whether each line feed follows a carriage return, as a transfer in text mode (FTP's ASCII) leaves them.

    Six or more that all do are no accident: 256**-6.
    """
    first = compressed.find(b"\n")
    if first < 1 or compressed[first - 1] != 0x0D:
        return False
    feeds = compressed.count(b"\n")
    return feeds >= _FEWEST and feeds == compressed.count(b"\r\n")
