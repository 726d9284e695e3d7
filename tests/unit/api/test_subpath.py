"""DermQ below a path of a host: addresses in pages and redirects, and what is asked for, with the path or without it."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.subpath import subpath_of
from core.settings import ApiSettings, Settings

HTML = {"Accept": "text/html"}


def client_below(public: str, **more: bool) -> TestClient:
    settings = ApiSettings(public_url=public, **{"require_keys": False} | more)  # type: ignore[arg-type]
    return TestClient(create_app(Settings(api=settings)), base_url="http://127.0.0.1", follow_redirects=False)


@pytest.mark.parametrize(
    ("public", "expected"),
    [
        ("", ""),
        ("https://a.example", ""),
        ("https://a.example/", ""),
        ("https://a.example/dermq/", "/dermq"),
        ("https://a.example/x/y", "/x/y"),
    ],
)
def test_the_path_of_an_address(public: str, expected: str) -> None:
    assert subpath_of(public) == expected


@pytest.mark.parametrize("asked", ["/docs", "/clinic/dermq/docs"], ids=["path taken off", "path left"])
def test_addresses_of_a_page_begin_with_the_path(asked: str) -> None:
    page = client_below("https://lab.example/clinic/dermq/").get(asked)
    assert page.status_code == 200
    addresses = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert len(addresses) >= 5
    assert [each for each in addresses if not each.startswith("/clinic/dermq/")] == []


def test_without_a_path_pages_are_as_they_were() -> None:
    plain, public = (client_below(url).get("/docs").text for url in ("", "https://lab.example"))
    assert plain == public
    assert 'href="/openapi.json"' in plain


@pytest.mark.parametrize("asked", ["/jobs", "/dermq/jobs"])
def test_redirects_lead_below_the_path(asked: str) -> None:
    answer = client_below("https://lab.example/dermq", require_keys=True).get(asked, headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dermq/sign-in?next=%2Fjobs")


def test_what_a_problem_means_is_found_below_the_path() -> None:
    """`type` is an address relative to the one that was asked for (RFC 9457, 3.1.1)."""
    client = client_below("https://lab.example/dermq")
    found = client.get("/dermq/v1/nothing-is-here")
    assert (found.status_code, found.json()["type"]) == (404, "/dermq/v1/problems/not_found")
    assert client.get(found.json()["type"]).status_code == 200


def test_paths_that_only_begin_alike_are_left() -> None:
    client = client_below("https://lab.example/dermq")
    assert client.get("/dermqx/docs").status_code == 404
    assert client.get("/dermq").status_code == client.get("/").status_code
    assert client.get("/dermq/healthz").status_code == 200


def test_the_document_names_the_path() -> None:
    assert client_below("https://lab.example/dermq").get("/dermq/openapi.json").json()["servers"] == [{"url": "/dermq"}]
    assert "servers" not in client_below("https://lab.example").get("/openapi.json").json()
