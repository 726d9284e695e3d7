"""A compressed body is refused before it is read, with what is taken instead."""

from __future__ import annotations

import gzip

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from core.settings import Settings


@pytest.fixture
def client() -> TestClient:
    return TestClient(create_app(Settings()), base_url="http://127.0.0.1")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "zstd, gzip", "deflate", "identity, gzip"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/jobs"), ("PUT", "/v1/jobs/a.zip"), ("POST", "/v1/classify")])
def test_it_is_refused(client: TestClient, method: str, path: str, encoding: str) -> None:
    response = client.request(method, path, content=gzip.compress(b"PK"), headers={"Content-Encoding": encoding})
    assert response.status_code == 415
    assert response.headers["Accept-Encoding"] == "identity"  # RFC 9110, 15.5.16
    assert response.json()["code"] == "unsupported_encoding"
    assert encoding in response.json()["detail"]


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_a_body_as_it_is_passes(client: TestClient, encoding: str) -> None:
    assert client.post("/v1/nothing-is-here", content=b"PK", headers={"Content-Encoding": encoding}).status_code == 404


@pytest.mark.parametrize("code", ["unknown_host", "cross_site", "unsupported_encoding"])
def test_what_is_refused_in_front_of_the_routes_has_its_page(client: TestClient, code: str) -> None:
    assert client.get(f"/v1/problems/{code}").json()["code"] == code
