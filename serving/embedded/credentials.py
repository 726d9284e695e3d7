"""`--ssl_config_file` → the gRPC port's TLS. What cannot be used ends the start: the port is never plain instead."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import grpc

from serving.embedded.options import Options
from serving.embedded.status import invalid_argument
from serving.embedded.textconfig import read_text
from serving.protos.ssl_pb2 import SSLConfig


def read_credentials(options: Options) -> grpc.ServerCredentials | None:
    """The credentials of the gRPC port; None without the flag.

    Raises:
        StatusError: INVALID_ARGUMENT, the file is no text-format SSLConfig, or what it holds cannot be used.
        OSError: it cannot be read.
    """
    if not options.ssl_config_file:
        return None
    path = Path(options.ssl_config_file)
    config = read_text(path, SSLConfig())
    if config.client_verify and not config.custom_ca:
        raise invalid_argument(f"{path}: client_verify needs custom_ca, the PEM of who signs the clients' certificates")
    _check(path, config)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _check(path: Path, config: SSLConfig) -> None:
    """Load all once: gRPC itself says no more of a bad key than that it cannot bind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with tempfile.TemporaryFile() as pair:  # without a name in the file system; OpenSSL reads files only
            pair.write(f"{config.server_key}\n{config.server_cert}\n".encode())
            pair.flush()
            context.load_cert_chain(f"/dev/fd/{pair.fileno()}", password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise invalid_argument(
            f"{path}: expected server_key (without a password) and server_cert in PEM that belong together: {error}"
        ) from error
    try:
        if config.custom_ca:
            context.load_verify_locations(cadata=config.custom_ca)
    except (ssl.SSLError, ValueError) as error:
        raise invalid_argument(f"{path}: expected custom_ca in PEM: {error}") from error
