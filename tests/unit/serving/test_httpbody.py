"""Bodies of HTTP requests: what is bounded."""

from __future__ import annotations

import gzip
import io
from email.message import Message

import pytest

from serving.embedded import httpbody
from serving.embedded.httpbody import BodyError, read_body


def headers(**values: str) -> Message:
    message = Message()
    for name, value in values.items():
        message[name.replace("_", "-")] = value
    return message


def test_a_small_body_cannot_stand_for_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpbody, "MAX_BODY_BYTES", 100_000)
    packed = gzip.compress(bytes(10_000_000))
    assert len(packed) < 100_000
    with pytest.raises(BodyError, match="more than 100000 bytes") as caught:
        read_body(io.BytesIO(packed), headers(Content_Length=str(len(packed)), Content_Encoding="gzip"))
    assert caught.value.status == 413


def test_what_fits_is_decompressed_whole() -> None:
    text = bytes(range(256)) * 20_000  # more than one piece
    packed = gzip.compress(text)
    assert read_body(io.BytesIO(packed), headers(Content_Length=str(len(packed)), Content_Encoding="GZIP")) == text


def test_many_chunks_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpbody, "MAX_BODY_BYTES", 10)
    with pytest.raises(BodyError, match="more than 10 bytes"):
        read_body(io.BytesIO(b"8\r\n12345678\r\n" * 2 + b"0\r\n\r\n"), headers(Transfer_Encoding="chunked"))


def test_a_request_without_a_body_has_an_empty_one() -> None:
    assert read_body(io.BytesIO(b"the next request"), headers()) == b""
    assert read_body(io.BytesIO(b"the next request"), headers(Content_Length="0", Content_Encoding="gzip")) == b""


def test_a_silent_client_is_answered() -> None:
    class Silent(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise TimeoutError("timed out")

    with pytest.raises(BodyError, match="expected 5 bytes of body, 5 of them did not come in time") as caught:
        read_body(Silent(), headers(Content_Length="5"))
    assert caught.value.status == 408
