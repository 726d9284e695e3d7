"""A real S3 server for tests: moto's, on a free port of the loopback device."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
import httpx2
from moto.server import ThreadedMotoServer

from core.settings import StorageSettings
from core.storage.s3 import S3Storage


@contextmanager
def running_s3() -> Iterator[StorageSettings]:
    """Settings that lead to a running server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request says nothing here
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield s3_settings(f"http://{host}:{port}")
    finally:
        urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"").close()  # its buckets would outlive it
        server.stop()


def s3_settings(endpoint: str, timeout_s: float = 20.0) -> StorageSettings:
    """Settings for an endpoint, with credentials that moto accepts."""
    return StorageSettings.model_validate(
        {
            "s3_endpoint": endpoint,
            "s3_access_key_id": "testing",
            "s3_secret_access_key": "testing",
            "timeout_s": timeout_s,
        }
    )


def make_bucket(settings: StorageSettings, name: str) -> None:
    """Create a bucket; boto3, because object_store does not make any."""
    client(settings).create_bucket(Bucket=name)


@cache
def _client(endpoint: str, region: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id="testing", aws_secret_access_key="testing", region_name=region
    )


def client(settings: StorageSettings) -> Any:
    """A boto3 client of the server: the second opinion on what is stored."""
    return _client(settings.s3_endpoint, settings.s3_region)


def put_object(settings: StorageSettings, bucket: str, key: str, data: bytes) -> None:
    """Store one object under any key, odd ones included."""
    client(settings).put_object(Bucket=bucket, Key=key, Body=data)


def storage_in(settings: StorageSettings, bucket: str, prefix: str = "") -> S3Storage:
    """The product's own storage on that server."""
    return S3Storage(bucket, prefix, settings)


def refuse_after(settings: StorageSettings, requests: int | None) -> None:
    """From now on the server takes so many requests, then it answers 403 to all. None: it takes all again."""
    count = b"inf" if requests is None else str(requests).encode()
    httpx2.post(f"{settings.s3_endpoint}/moto-api/reset-auth", content=count).raise_for_status()
