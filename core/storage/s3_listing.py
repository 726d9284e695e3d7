"""The keys of a bucket as they are: ListObjectsV2, signed here, where object_store refuses a whole page for one odd key.

Protocols: Amazon S3 API Reference, "ListObjectsV2"; AWS Signature Version 4, "Create a signed request".
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus, urlsplit

import httpx2

from core.errors import NotFoundError, StorageUnavailableError
from core.proxies import LOOPBACK
from core.settings import StorageSettings
from core.storage.denied import StorageDeniedError

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key."""

    key_id: str
    secret: str
    token: str = ""


def find_credentials(settings: StorageSettings) -> Credentials | None:
    """Those of the settings, else those of the environment; None where they come from elsewhere (an instance's role, say)."""
    if key_id := settings.s3_access_key_id.get_secret_value():
        return Credentials(key_id, settings.s3_secret_access_key.get_secret_value())
    key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID", ""), os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    return Credentials(key_id, secret, os.environ.get("AWS_SESSION_TOKEN", "")) if key_id and secret else None


def list_keys(
    bucket: str, prefix: str, start_after: str, settings: StorageSettings, credentials: Credentials
) -> Iterator[tuple[str, int]]:
    """(key, size in bytes) of the objects whose key starts with `prefix`, in key order, a page of a thousand at a time.

    Args:
        bucket: its name.
        prefix: what keys start with; "" for all.
        start_after: only keys behind this one; "" for all.
        settings: endpoint, region and timeout.
        credentials: sign the requests.

    Raises:
        NotFoundError: no such bucket.
        StorageUnavailableError: the server does not answer, or with an error (StorageDeniedError: it refuses us).
    """
    base = f"{settings.s3_endpoint.rstrip('/')}/{bucket}" if settings.s3_endpoint else _aws_address(bucket, settings)
    query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "start-after": start_after}
    query = {name: value for name, value in query.items() if value}
    trust_env = urlsplit(base).hostname not in LOOPBACK  # a proxy cannot reach our own loopback
    with httpx2.Client(timeout=settings.timeout_s, trust_env=trust_env) as client:
        while True:
            page = _page(client, base, query, settings, credentials)
            yield from _objects(page)
            token = _text(page, "NextContinuationToken")
            if _text(page, "IsTruncated") != "true" or not token:
                return
            query = {name: value for name, value in query.items() if name != "start-after"} | {"continuation-token": token}


def _aws_address(bucket: str, settings: StorageSettings) -> str:
    host = f"s3.{settings.s3_region}.amazonaws.com"
    return f"https://{host}/{bucket}" if "." in bucket else f"https://{bucket}.{host}"  # a certificate covers one label


def _page(
    client: httpx2.Client, base: str, query: dict[str, str], settings: StorageSettings, credentials: Credentials
) -> ET.Element:
    encoded = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
    now = datetime.datetime.now(datetime.UTC)
    paying = {"x-amz-request-payer": "requester"} if settings.s3_requester_pays else {}
    headers = signed_headers(base, encoded, settings.s3_region, credentials, now, more=paying)
    try:
        response = client.get(f"{base}?{encoded}", headers=headers)
    except httpx2.HTTPError as error:
        raise StorageUnavailableError(f"{base}: listing: {error}") from error
    if response.status_code in (401, 403):
        raise StorageDeniedError(f"{base}: listing: access denied; check DERMQ_STORAGE_S3_* and the bucket's policy")
    if response.status_code == 404:
        raise NotFoundError(f"{base}: listing: no such bucket")
    if response.status_code != 200:
        raise StorageUnavailableError(f"{base}: listing: expected status 200, got {response.status_code}")
    try:
        return ET.fromstring(response.content)  # noqa: S314 - from the configured server; expat bounds entities itself
    except ET.ParseError as error:
        raise StorageUnavailableError(f"{base}: listing: expected XML: {error}") from error


def _objects(page: ET.Element) -> Iterator[tuple[str, int]]:
    for item in page.iterfind("{*}Contents"):
        yield unquote_plus(_text(item, "Key"), errors="surrogateescape"), int(_text(item, "Size") or 0)


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""


def signed_headers(
    url: str,
    query: str,
    region: str,
    credentials: Credentials,
    now: datetime.datetime,
    *,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Headers that sign a GET without a body.

    Args:
        url: without its query.
        query: encoded and sorted by name.
        region: of the bucket.
        credentials: the key.
        now: in UTC.
        more: further headers to sign, their names in lower case.
    """
    parts, moment = urlsplit(url), now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": parts.netloc, "x-amz-content-sha256": _EMPTY_SHA256, "x-amz-date": moment}
    headers |= more or {}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join(["GET", quote(parts.path or "/"), query, lines, names, _EMPTY_SHA256])
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    authorization = f"AWS4-HMAC-SHA256 Credential={credentials.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {name: value for name, value in headers.items() if name != "host"} | {"authorization": authorization}
