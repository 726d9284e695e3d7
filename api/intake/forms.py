"""multipart/form-data, parsed while it comes in: one file into a sink, small values into a dict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.requests import Request

from api.intake.uploads import check_announced_size, pump
from core.errors import InvalidRequestError

_FRAME_BYTES = 1024 * 1024  # what a form may have around the file: boundaries, headers, values
_VALUE_BYTES = 4096


class Sink(Protocol):
    """Where the bytes of the file go."""

    @property
    def max_bytes(self) -> int:
        """How many there may be."""
        ...

    def write(self, data: bytes) -> None:
        """Append bytes; raises TooLargeError beyond the limit."""
        ...


class _Part:
    """The parser's side of one field (streaming_form_data calls these methods)."""

    def __init__(self, form: FormReader, name: str) -> None:
        self._form = form
        self._name = name
        self.filename = ""
        self.value = bytearray()

    def set_multipart_filename(self, filename: str) -> None:
        self.filename = filename

    def set_multipart_content_type(self, _content_type: str) -> None:
        """What a client claims of the bytes is not believed."""

    def start(self) -> None:
        self._form.begin(self._name)

    def data_received(self, chunk: bytes) -> None:
        self._form.delivered += len(chunk)
        self.value += chunk
        if len(self.value) > _VALUE_BYTES:
            raise InvalidRequestError(f"form field {self._name!r}: expected at most {_VALUE_BYTES} bytes")

    def finish(self) -> None:
        self._form.end(self._name)


class _FilePart(_Part):
    def __init__(self, form: FormReader, name: str, sink: Sink) -> None:
        super().__init__(form, name)
        self._sink = sink

    def data_received(self, chunk: bytes) -> None:
        self._form.delivered += len(chunk)
        self._sink.write(chunk)


class FormReader:
    """Reads one form with exactly one file. `files` are the names its field may have."""

    def __init__(self, request: Request, sink: Sink, files: Sequence[str], values: Sequence[str]) -> None:
        from streaming_form_data import StreamingFormDataParser  # noqa: PLC0415 - 16 MB that raw uploads need not pay
        from streaming_form_data.parser import ParseFailedException  # noqa: PLC0415

        self._request = request
        self._files = tuple(files)
        self._sink = sink
        self.delivered = 0
        self._received = 0
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self._failure: type[Exception] = ParseFailedException
        try:
            self._parser = StreamingFormDataParser({"content-type": request.headers["content-type"]}, strict=True)
        except ParseFailedException as error:
            raise InvalidRequestError(f"the Content-Type header does not describe a form: {error}") from error
        self._parts: dict[str, _Part] = {name: _FilePart(self, name, sink) for name in files}
        self._parts |= {name: _Part(self, name) for name in values}
        for name, part in self._parts.items():
            self._parser.register(name, part)

    async def read(self) -> tuple[str, dict[str, str]]:
        """Receive the form.

        Returns:
            The file's name as given, and the values.

        Raises:
            InvalidRequestError: it is not such a form.
            TooLargeError: the file is over the sink's limit.
        """
        check_announced_size(self._request, self._sink.max_bytes + _FRAME_BYTES)
        await pump(self._request, self._feed)
        if self._begun - self._ended:
            raise InvalidRequestError(f"the form ends within field {min(self._begun - self._ended)!r}: it was cut off")
        file = next((name for name in self._files if name in self._ended), None)
        if file is None:
            raise InvalidRequestError(f"expected a form with the file field {self._files[0]!r}, got {sorted(self._ended)}")
        return self._parts[file].filename, {name: self._text(name) for name in self._ended if name not in self._files}

    def begin(self, name: str) -> None:
        """A part starts."""
        if name in self._begun or (name in self._files and self._begun & set(self._files)):
            raise InvalidRequestError(
                f"form field {name!r}: expected one file and each field once; put several files into an archive"
            )
        self._begun.add(name)

    def end(self, name: str) -> None:
        """A part is complete."""
        self._ended.add(name)

    def _feed(self, piece: bytes) -> None:
        self._received += len(piece)
        try:
            self._parser.data_received(piece)
        except self._failure as error:
            raise InvalidRequestError(f"the form cannot be read: {error}; fields are {', '.join(self._parts)}") from error
        except UnicodeDecodeError as error:  # of the head of a part, which the parser takes for text
            raise InvalidRequestError(
                f"the form cannot be read: expected the heads of its parts in UTF-8, got {error}"
            ) from error
        if self._received - self.delivered > _FRAME_BYTES:  # the parser holds what it cannot deliver
            raise InvalidRequestError(f"the form has more than {_FRAME_BYTES} bytes outside its fields")

    def _text(self, name: str) -> str:
        try:
            return self._parts[name].value.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequestError(f"form field {name!r}: expected UTF-8, got {error}") from error
