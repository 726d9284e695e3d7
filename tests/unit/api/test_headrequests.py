"""HEAD gives the headers of GET and no body, and stops a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.responses import StreamingResponse

from api.app import create_app
from api.headrequests import HeadAsGet
from core.settings import Settings


def test_headers_are_those_of_get() -> None:
    client = TestClient(create_app(Settings()), base_url="http://127.0.0.1")
    for path in ("/healthz", "/openapi.json", "/docs", "/v1/problems/not_found"):
        head, get = client.head(path), client.get(path)
        assert head.status_code == get.status_code == 200, path
        assert head.content == b""
        assert head.headers["Content-Length"] == str(len(get.content)), path
        assert head.headers["Content-Type"] == get.headers["Content-Type"]


def test_what_is_absent_or_takes_no_get_is_so_for_head() -> None:
    client = TestClient(create_app(Settings()), base_url="http://127.0.0.1")
    assert client.head("/nothing").status_code == 404
    assert client.head("/v1/classify").status_code == 405


def test_a_stream_without_end_is_ended() -> None:
    app = FastAPI()
    app.add_middleware(HeadAsGet)
    ended = []

    async def stream() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"event"
        finally:
            ended.append(True)

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(stream(), media_type="text/event-stream")

    response = TestClient(app).head("/events")
    assert (response.status_code, response.content) == (200, b"")
    assert ended == [True]
