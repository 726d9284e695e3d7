"""How Serving is spoken to: in the clear, or with TLS by authorities, a certificate and a token that the settings name."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from core.errors import ServingUnavailableError

if TYPE_CHECKING:
    from core.settings import ServingSettings


def make_credentials(settings: ServingSettings) -> grpc.ChannelCredentials | None:
    """Credentials of a channel; None: in the clear.

    Raises:
        ServingUnavailableError: a file that the settings name cannot be read.
    """
    if not settings.uses_tls:
        return None
    authorities = _read(settings.ca, "DERMQ_SERVING_CA") or _system_authorities()
    key, certificate = _read(settings.key, "DERMQ_SERVING_KEY"), _read(settings.certificate, "DERMQ_SERVING_CERTIFICATE")
    credentials = grpc.ssl_channel_credentials(authorities, key, certificate)
    token = settings.token.get_secret_value()
    if token:
        return grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
    return credentials


def _read(path: Path | None, variable: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ServingUnavailableError(f"{variable} is {path}, which cannot be read: {error.strerror}; mend it") from error


def _system_authorities() -> bytes | None:
    """Those of the system, or of SSL_CERT_FILE, in PEM; None where there are none: gRPC then takes those that it brings."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(ssl.DER_cert_to_PEM_cert(each) for each in found).encode() or None
