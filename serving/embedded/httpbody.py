"""The body of an HTTP/1.1 request: by length or in chunks (RFC 9112, 6 and 7.1), as it is or compressed (RFC 9110, 8.4)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from email.message import Message
from typing import BinaryIO

MAX_BODY_BYTES = 1 << 30  # also decompressed
_PIECE_BYTES = 1 << 20
_MAX_LINE_BYTES = 8192  # of a chunk's size, or of a trailer
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib's code: detect the header
_GZIPPED = frozenset({"gzip", "x-gzip", "deflate"})


class BodyError(Exception):
    """The body cannot be read; nothing that follows on its connection can be."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read_body(stream: BinaryIO, headers: Message) -> bytes:
    """Read and decode a request's body; empty where the headers announce none.

    Args:
        stream: buffered, after the headers.
        headers: of the request.

    Raises:
        BodyError: 400, headers that contradict themselves, a body that is not as they say; 408, it stops coming; 413, more than
            MAX_BODY_BYTES; 415 or 501, an encoding that is not known here.
    """
    lengths, transfer = headers.get_all("Content-Length") or [], headers.get("Transfer-Encoding")
    if transfer is not None:
        if lengths:
            raise BodyError(400, "expected Content-Length or Transfer-Encoding, got both")
        if transfer.strip().lower() != "chunked":
            raise BodyError(501, f"Transfer-Encoding {transfer!r} is not known here; expected chunked")
        pieces = _chunks(stream)
    else:
        pieces = _pieces(stream, _length(lengths))
    return _decoded(_bounded(pieces), headers.get("Content-Encoding", "identity").strip().lower())


def _length(lengths: list[str]) -> int:
    different = {length.strip() for each in lengths for length in each.split(",")}
    if not different:
        return 0
    text = different.pop()
    if different or not (text.isascii() and text.isdigit()):
        raise BodyError(400, f"expected one Content-Length, a whole number of bytes; got {', '.join(lengths)!r}")
    if len(text) > 18 or int(text) > MAX_BODY_BYTES:
        raise BodyError(413, f"the body has {text} bytes, at most {MAX_BODY_BYTES} are taken; send fewer rows")
    return int(text)


def _pieces(stream: BinaryIO, length: int) -> Iterator[bytes]:
    """`length` bytes, in pieces, so that memory is taken as they come."""
    left = length
    while left:
        try:
            piece = stream.read(min(left, _PIECE_BYTES))
        except TimeoutError as error:
            raise BodyError(408, f"expected {length} bytes of body, {left} of them did not come in time") from error
        if not piece:
            raise BodyError(400, f"expected {length} bytes of body, the connection ended {left} bytes before")
        left -= len(piece)
        yield piece


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while size := _chunk_size(_line(stream)):
        yield from _pieces(stream, size)
        if _line(stream):
            raise BodyError(400, "a chunk is longer than its size says")
    while _line(stream):  # trailers say nothing that is used here
        pass


def _chunk_size(line: bytes) -> int:
    digits = line.split(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise BodyError(400, f"expected a chunk's size in hexadecimal, got {line[:32]!r}")
    size = int(digits, 16)
    if size > MAX_BODY_BYTES:
        raise BodyError(413, f"a chunk has {size} bytes, at most {MAX_BODY_BYTES} are taken; send fewer rows")
    return size


def _line(stream: BinaryIO) -> bytes:
    try:
        line = stream.readline(_MAX_LINE_BYTES)
    except TimeoutError as error:
        raise BodyError(408, "the chunks stopped coming") from error
    if not line.endswith(b"\n"):
        raise BodyError(400, "the chunks end without the last one, of size 0")
    return line.rstrip(b"\r\n")


def _bounded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > MAX_BODY_BYTES:
            raise BodyError(413, f"the body has more than {MAX_BODY_BYTES} bytes; send fewer rows")
        yield piece


def _decoded(pieces: Iterator[bytes], encoding: str) -> bytes:
    if encoding in {"identity", ""}:
        return b"".join(pieces)
    if encoding not in _GZIPPED:
        raise BodyError(415, f"Content-Encoding {encoding!r} is not known here; expected gzip, deflate or none")
    return b"".join(_bounded(_inflated(pieces, encoding)))


def _inflated(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The pieces decompressed, each result of bounded size: a small body can stand for gigabytes."""
    member, came = zlib.decompressobj(_GZIP_OR_ZLIB), False
    try:
        for piece in pieces:
            rest, came = piece, True
            while rest:
                if member.eof:  # gzip files may follow each other
                    member = zlib.decompressobj(_GZIP_OR_ZLIB)
                yield member.decompress(rest, _PIECE_BYTES)
                rest = member.unused_data if member.eof else member.unconsumed_tail
        while not member.eof and (more := member.decompress(member.unconsumed_tail, _PIECE_BYTES)):
            yield more
    except zlib.error as error:
        raise BodyError(400, f"the body is no {encoding}: {error}") from error
    if came and not member.eof:
        raise BodyError(400, f"the body is cut off: its {encoding} stream has no end")
