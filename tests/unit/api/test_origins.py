"""Under which names the API answers, in each configuration that DermQ ships: DNS rebinding gets nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.binding import keys_required
from cli.stack.environment import Sources, make_environment
from cli.stack.folder import DataFolder
from cli.stack.parts import Addresses
from core.settings import ApiSettings, Settings
from tests.support.composefiles import BASE, VARIABLE, services
from tests.support.servers import ROOT

EVERYWHERE = "0.0.0.0"  # noqa: S104 - as containers listen
REBOUND = [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "api.evil.example",
    "apix",
    "[",
    "",
]
OWN = ["localhost", "localhost:8080", "LOCALHOST.", "127.0.0.1:8080", "[::1]:8080", "10.0.0.7:8080", "[fd00::7]"]


def env_file(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", path.read_text(), re.MULTILINE))


def compose(given: dict[str, str]) -> dict[str, str]:
    """What docker-compose.yml gives the API, with the variables of an .env file."""

    def value(variable: re.Match[str]) -> str:
        return given.get(variable["name"]) or (variable["rest"] if variable["mark"] == ":-" else "")

    environment = services(BASE)["api"]["environment"]
    return {name: VARIABLE.sub(value, str(text)) for name, text in environment.items()}


def one_machine(folder: Path) -> dict[str, str]:
    addresses = Addresses(1, 2, 3, password="p")
    return make_environment(DataFolder.at(folder), addresses, stack_id="s", sources=Sources(), models=())


def configurations(folder: Path) -> dict[str, dict[str, str]]:
    """Environment variables of the API."""
    development = env_file(ROOT / "deploy/development.env")
    cluster = env_file(ROOT / "deploy/kubernetes/base/config.env")
    return {
        "bare": {},
        "open": {"DERMQ_API_HOST": EVERYWHERE},
        "behind a proxy": {"DERMQ_API_PUBLIC_URL": "https://Dermq.Example:8443/screening"},
        "dermq up": one_machine(folder),
        "compose": compose({}),
        "compose, named": compose({"DERMQ_API_ALLOWED_HOSTS": "dermq.example"}),
        "compose for development": compose(development),
        "kubernetes": cluster,
        "kubernetes, cpu": cluster | env_file(ROOT / "deploy/kubernetes/overlays/cpu/config.env"),
        "kubernetes, gpu": cluster | env_file(ROOT / "deploy/kubernetes/overlays/gpu/config.env"),
    }


NAMES = {
    "behind a proxy": ["dermq.example", "dermq.example:8443"],
    "compose": ["api:8080"],
    "compose, named": ["api:8080", "dermq.example"],
    "compose for development": ["api:8080"],
    "kubernetes": ["api:8080", "api.dermq:8080", "api.dermq.svc:8080", "api.dermq.svc.cluster.local:8080"],
}


CONFIGURATIONS = [
    *("bare", "open", "behind a proxy", "dermq up"),
    *("compose", "compose, named", "compose for development"),
    *("kubernetes", "kubernetes, cpu", "kubernetes, gpu"),
]


@pytest.fixture(params=CONFIGURATIONS)
def configuration(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(configuration: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Requests to the application itself; no server is started, and nothing behind it."""
    for name, value in configurations(tmp_path)[configuration].items():
        if name.startswith("DERMQ_API_"):
            monkeypatch.setenv(name, value)
    return TestClient(create_app(Settings()))


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/v1/jobs/1/results.csv", "/metrics", "/openapi.json", "/docs", "/healthz/../v1/jobs"]
)
def test_a_rebound_name_gets_nothing(client: TestClient, path: str) -> None:
    for host in REBOUND:
        for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}):
            response = client.get(path, headers=headers)
            assert (response.status_code, response.json()["code"]) == (421, "unknown_host"), host
            assert "DERMQ_API_ALLOWED_HOSTS" in response.json()["detail"]
            assert client.post("/v1/jobs?name=a.zip", content=b"PK", headers=headers).status_code == 421


def test_its_own_names_and_every_address_are_answered(client: TestClient, configuration: str) -> None:
    for host in [*OWN, *NAMES.get(configuration, [])]:
        answer = client.get("/openapi.json", headers={"Host": host})
        assert answer.status_code == (401 if keys_required(Settings().api) else 200), host


def test_probes_are_answered_under_every_name(client: TestClient) -> None:
    """HAProxy's own checks send no Host, others what they like."""
    for host in [*REBOUND, *OWN]:
        assert client.get("/healthz", headers={"Host": host}).json() == {"status": "ok"}


@pytest.mark.parametrize("host", ["a.b.example", "b.example", "A.B.EXAMPLE.:80"])
def test_all_names_below_one(host: str) -> None:
    client = TestClient(create_app(Settings(api=ApiSettings(allowed_hosts=("*.example",), require_keys=False))))
    assert client.get("/openapi.json", headers={"Host": host}).status_code == 200
    assert client.get("/openapi.json", headers={"Host": "example"}).status_code == 421
    assert client.get("/openapi.json", headers={"Host": "a.example.org"}).status_code == 421


@pytest.mark.parametrize("host", ["*", "http://dermq.example", "dermq.example:8080", "a b", "*.*.example", "a/b"])
def test_a_name_that_is_none(host: str) -> None:
    with pytest.raises(ValueError, match="expected a host name"):
        ApiSettings(allowed_hosts=(host,))


PROXIED = {
    "nginx's proxy_pass as it comes": ("http://lab.example/dermq", "127.0.0.1:8080", "http://lab.example", None),
    "Host $host:$server_port": ("http://lab.example", "lab.example:80", "http://lab.example", None),
    "Host $host:$server_port, TLS": ("https://lab.example", "lab.example:443", "https://lab.example", None),
    "Host $host, whose port is lost": ("http://lab.example:8081", "lab.example", "http://lab.example:8081", None),
    "Host $http_host": ("http://lab.example", "lab.example", "http://lab.example", None),
    "no public address, port named": ("", "127.0.0.1:80", "http://127.0.0.1", None),
    "another site": ("https://lab.example", "lab.example", "https://evil.example", 403),
    "another scheme": ("https://lab.example", "127.0.0.1:8080", "http://lab.example", 403),
    "another port": ("https://lab.example", "lab.example", "https://lab.example:8443", 403),
    "a name that begins alike": ("https://lab.example", "lab.example", "https://lab.example.evil.example", 403),
    "a sandboxed page": ("https://lab.example", "lab.example", "null", 403),
    "no address": ("https://lab.example", "lab.example", "https://[::1", 403),
}


@pytest.mark.parametrize(("public", "host", "origin", "refused"), PROXIED.values(), ids=PROXIED)
def test_a_page_of_the_public_address_may_post(public: str, host: str, origin: str, refused: int | None) -> None:
    client = TestClient(create_app(Settings(api=ApiSettings(public_url=public, require_keys=False))))
    response = client.post("/v1/nothing-is-here", headers={"Host": host, "Origin": origin})
    assert response.status_code == (refused or 404)
