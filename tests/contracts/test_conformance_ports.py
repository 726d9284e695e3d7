"""Where the gRPC API listens: TLS with and without certificates of clients, a Unix socket, and what is refused instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.protos.management_pb2 import ReloadConfigRequest
from tests.support.certificates import Authority, Signed
from tests.support.servers import free_port
from tests.support.tiny_model import export_tiny_model

STATUS = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("models") / "m"
    export_tiny_model(base, 1)
    return base


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def quoted(pem: str) -> str:
    return '"' + pem.replace("\n", "\\n") + '"'


def ssl_config(path: Path, server: Signed, ca: str = "", *, verify: bool = False) -> str:
    fields = f"server_key: {quoted(server.key)} server_cert: {quoted(server.certificate)} custom_ca: {quoted(ca)}"
    path.write_text(f"{fields} client_verify: {str(verify).lower()}")
    return str(path)


def answers(channel: grpc.Channel) -> str:
    """The code that an empty configuration is refused with: the server has answered."""
    with channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(STATUS)(ReloadConfigRequest().SerializeToString(), timeout=5, wait_for_ready=False)
    return str(caught.value.code().name)


def secure(address: str, ca: str, client: Signed | None = None) -> grpc.Channel:
    pair = (client.key.encode(), client.certificate.encode()) if client else (None, None)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.encode(), *pair))


def test_tls_with_certificates_of_clients(embedded: Any, base: Path, authority: Authority, tmp_path: Path) -> None:
    config = ssl_config(tmp_path / "ssl.config", authority.sign("server"), authority.certificate, verify=True)
    server, _ = embedded(model_name="m", model_base_path=str(base), ssl_config_file=config)
    known, stranger = authority.sign("client"), Authority("another").sign("client")
    assert answers(secure(server.address, authority.certificate, known)) == "INVALID_ARGUMENT"
    assert answers(secure(server.address, authority.certificate, stranger)) == "UNAVAILABLE"
    assert answers(secure(server.address, authority.certificate)) == "UNAVAILABLE"
    assert answers(secure(server.address, Authority("another").certificate, known)) == "UNAVAILABLE"
    assert answers(grpc.insecure_channel(server.address)) == "UNAVAILABLE"


def test_tls_without_certificates_of_clients_and_a_socket(
    embedded: Any, base: Path, authority: Authority, tmp_path: Path
) -> None:
    config = ssl_config(tmp_path / "ssl.config", authority.sign("server"))
    socket = tmp_path / "s"
    options = {"port": free_port(), "ssl_config_file": config, "grpc_socket_path": str(socket)}
    server, _ = embedded(model_name="m", model_base_path=str(base), **options)
    assert answers(secure(server.address, authority.certificate)) == "INVALID_ARGUMENT"
    assert answers(grpc.insecure_channel(server.address)) == "UNAVAILABLE"
    assert answers(grpc.insecure_channel(f"unix:{socket}")) == "UNAVAILABLE"  # TLS there, too


def test_a_unix_socket_alone(embedded: Any, base: Path, tmp_path: Path) -> None:
    server, process = embedded(model_name="m", model_base_path=str(base), grpc_socket_path=str(tmp_path / "s"))
    assert (process.port, server.address) == (0, f"unix:{tmp_path / 's'}")
    assert answers(grpc.insecure_channel(server.address)) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path, _: path.write_text("server_keys: ''"), 'Message type "tensorflow.serving.SSLConfig" has no field named'),
        (lambda path, _: path.write_text("server_key: 'no key'"), "expected server_key (without a password) and server_cert"),
        (
            lambda path, a: ssl_config(path, Signed(a.sign("x").key, a.sign("y").certificate)),
            "in PEM that belong together",
        ),
        (lambda path, a: ssl_config(path, a.sign("x"), "no certificate"), "expected custom_ca in PEM"),
        (lambda path, a: ssl_config(path, a.sign("x"), verify=True), "client_verify needs custom_ca"),
    ],
    ids=["no text", "no key", "another key", "no authority", "verify without authority"],
)
def test_a_server_whose_tls_cannot_be_had_does_not_start(
    write: Callable[[Path, Authority], object], words: str, authority: Authority, tmp_path: Path
) -> None:
    from serving.embedded.configfiles import check_files
    from serving.embedded.options import Options
    from serving.embedded.server import EmbeddedServer
    from serving.embedded.status import StatusError

    write(tmp_path / "ssl.config", authority)
    options = Options(model_base_path="/m", ssl_config_file=str(tmp_path / "ssl.config"))
    for start in (check_files, EmbeddedServer):
        with pytest.raises(StatusError) as caught:
            start(options)
        assert words in str(caught.value)
