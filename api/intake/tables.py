"""A small table in a request's body, raw or in a form, taken into memory."""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import Request

from api.intake.forms import FormReader
from api.intake.names import clean_filename, filename_of
from api.intake.requests import media_type
from api.intake.uploads import check_announced_size, check_size, pump
from core.errors import InvalidRequestError

MAX_BYTES = 32 * 1024 * 1024  # a million rows


class MemorySink:
    """Where the bytes go."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held = bytearray()

    def write(self, data: bytes) -> None:
        """Append bytes; raises TooLargeError beyond the limit."""
        check_size(len(self.held) + len(data), self.max_bytes)
        self.held.extend(data)


class SentTable(NamedTuple):
    """A table as it came."""

    content: bytes
    filename: str


async def take_table(request: Request, field: str, *, max_bytes: int = MAX_BYTES) -> SentTable:
    """Receive the body, or the form's field.

    Raises:
        InvalidRequestError: there are no bytes, or it is no such form.
        TooLargeError: there are more than `max_bytes`.
    """
    sink = MemorySink(max_bytes)
    if media_type(request) == "multipart/form-data":
        filename, _ = await FormReader(request, sink, (field,), ()).read()
    else:
        filename = filename_of(request.headers.get("content-disposition"))
        check_announced_size(request, max_bytes)
        await pump(request, sink.write)
    if not sink.held:
        raise InvalidRequestError("the body is empty: expected a CSV with a column that names images and one that has classes")
    return SentTable(bytes(sink.held), clean_filename(filename, "the table"))
