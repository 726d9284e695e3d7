"""PredictClient over TLS: the server's certificate, the client's, and a token. A gRPC server of this process answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from core.environment import read_settings
from core.errors import ConfigurationError, ServingUnavailableError
from core.settings import ServingSettings
from serving.client import PredictClient, VersionStatus
from serving.protos.status_pb2 import GetModelStatusRequest, GetModelStatusResponse
from tests.support.certificates import Authority, Signed

SERVED = GetModelStatusResponse(model_version_status=[{"version": 3, "state": 30}])
MODEL_SERVICE = "tensorflow.serving.ModelService"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def tokens() -> list[str | None]:
    """What came as `authorization`."""
    return []


@pytest.fixture(scope="module")
def address(authority: Authority, tokens: list[str | None]) -> Iterator[str]:
    """A server that asks its clients for certificates."""
    server, own = grpc.server(futures.ThreadPoolExecutor(2)), authority.sign("server")

    def status(_: Any, context: grpc.ServicerContext) -> GetModelStatusResponse:
        tokens.append(dict(context.invocation_metadata()).get("authorization"))
        return SERVED

    handler = grpc.unary_unary_rpc_method_handler(
        status, GetModelStatusRequest.FromString, GetModelStatusResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(MODEL_SERVICE, {"GetModelStatus": handler}),))
    ca = authority.certificate.encode()
    pair = [(own.key.encode(), own.certificate.encode())]
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pair, ca, require_client_auth=True))
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def written(folder: Path, ca: Authority, client: Signed) -> dict[str, Path]:
    paths = {name: folder / f"{name}.pem" for name in ("ca", "certificate", "key")}
    for path, text in zip(paths.values(), (ca.certificate, client.certificate, client.key), strict=True):
        path.write_text(text)
    return paths


def ask(address: str, settings: ServingSettings | None) -> list[VersionStatus]:
    with PredictClient(address, 5.0, security=settings) as client:
        return client.model_status("m", quick_s=5.0)


def test_authority_certificate_and_token_are_used(
    address: str, authority: Authority, tokens: list[str | None], tmp_path: Path
) -> None:
    files = written(tmp_path, authority, authority.sign("worker"))
    assert ask(address, ServingSettings(**files)) == [VersionStatus(3, "AVAILABLE", "OK", "")]
    assert ask(address, ServingSettings(**files, token="a-secret"))[0].version == 3
    assert tokens == [None, "Bearer a-secret"]
    assert "a-secret" not in repr(ServingSettings(**files, token="a-secret"))


@pytest.mark.parametrize(
    "kind", ["in the clear", "another authority", "a stranger", "no certificate", "the system's authorities"]
)
def test_nothing_is_sent_where_trust_is_missing(address: str, authority: Authority, tmp_path: Path, kind: str) -> None:
    files = written(tmp_path, authority, authority.sign("worker"))
    other = Authority("another")
    settings = {
        "in the clear": lambda: None,
        "another authority": lambda: ServingSettings(**written(tmp_path, other, authority.sign("worker"))),
        "a stranger": lambda: ServingSettings(**written(tmp_path, authority, other.sign("worker"))),
        "no certificate": lambda: ServingSettings(ca=files["ca"]),
        "the system's authorities": lambda: ServingSettings(tls=True, certificate=files["certificate"], key=files["key"]),
    }[kind]()
    with pytest.raises(ServingUnavailableError):
        ask(address, settings)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ADDRESS": "https://serving:8500"}, "leave https:// and the path out, and set DERMQ_SERVING_TLS=true"),
        ({"ADDRESS": "http://serving:8501/v1"}, "leave http:// and the path out"),
        ({"CA": "/no/such/file"}, "DERMQ_SERVING_CA"),
        ({"CERTIFICATE": __file__}, "expected DERMQ_SERVING_CERTIFICATE and DERMQ_SERVING_KEY together, got one of them"),
    ],
    ids=["https", "http", "no file", "no key"],
)
def test_settings_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"DERMQ_SERVING_{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        read_settings()
    assert words in str(caught.value)


def test_a_client_refuses_an_address_of_the_web() -> None:
    with pytest.raises(ValueError, match=r"expected host:port, .*, got 'https://serving'"):
        PredictClient("https://serving")


def test_a_file_that_is_gone_is_named_at_the_first_call(address: str, authority: Authority, tmp_path: Path) -> None:
    settings = ServingSettings(**written(tmp_path, authority, authority.sign("worker")))
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(ServingUnavailableError, match=r"DERMQ_SERVING_CA is .*ca\.pem, which cannot be read: No such file"):
        ask(address, settings)
