"""Sources in buckets of Google's and Azure's kind, read like those of S3.

Google's XML API lists and reads as S3 does (cloud.google.com/storage/docs/xml-api), so that moto answers it here, without a key
as obstore asks an emulator. Azure's API is its own: what is tested of it is the address and the refusal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.archives.base import ArchiveKind
from core.archives.detect import prepare_archive
from core.archives.open import open_archive
from core.errors import ArchiveError, ForbiddenSourceError, StorageUnavailableError
from core.settings import ApiSettings, Settings, StorageSettings
from core.storage.clouds import CloudStorage
from core.storage.factory import split_bucket_uri
from core.storage.local import LocalStorage
from tests.support.s3 import client, make_bucket, put_object, running_s3
from tests.support.servers import free_port
from tests.support.stack import jpeg, write_zip

RESOURCES = ["arn:aws:s3:::clinic", "arn:aws:s3:::clinic/*"]
NO_KEY = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}


@pytest.fixture(scope="module")
def google() -> Iterator[StorageSettings]:
    """A server with the bucket `clinic`, which everybody may read."""
    with running_s3() as settings:
        make_bucket(settings, "clinic")
        everyone = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": RESOURCES,
        }
        client(settings).put_bucket_policy(
            Bucket="clinic", Policy=json.dumps({"Version": "2012-10-17", "Statement": [everyone]})
        )
        for number in range(3):
            put_object(settings, "clinic", f"2026/{number}.jpg", jpeg(number))
        put_object(settings, "clinic", "2026/list.csv", b"path,dx\n1.jpg,nv\n2.jpg,mel\n")
        put_object(settings, "clinic", "2027/other.jpg", jpeg(9))
        yield settings


@pytest.fixture
def asked(google: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    key = NO_KEY | {"gcs_base_url": google.s3_endpoint}
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key))
    return Settings(api=ApiSettings(allow_s3_sources=("gs://clinic/2026",)), storage=StorageSettings(timeout_s=5))


def opened(uri: str, settings: Settings, folder: Path) -> Any:
    storage = LocalStorage(folder)
    ref = prepare_archive({"kind": "s3", "uri": uri}, storage, "plain", settings)
    archive = open_archive(ref, storage, settings)
    return ref.kind, {member.name: archive.read(member) for member in archive.members()}


def test_a_prefix_a_table_and_an_archive(asked: Settings, google: StorageSettings, tmp_path: Path) -> None:
    kind, found = opened("gs://clinic/2026/", asked, tmp_path)
    assert kind is ArchiveKind.S3_PREFIX
    assert {name: found[name] for name in ("0.jpg", "1.jpg", "2.jpg")} == {f"{n}.jpg": jpeg(n) for n in range(3)}
    kind, found = opened("gs://clinic/2026/list.csv", asked, tmp_path)
    assert kind is ArchiveKind.MANIFEST
    assert found == {"1.jpg": jpeg(1), "2.jpg": jpeg(2)}
    put_object(google, "clinic", "2026/a.zip", write_zip(tmp_path / "a.zip", [("x.jpg", jpeg(5))]).read_bytes())
    assert opened("gs://clinic/2026/a.zip", asked, tmp_path) == (ArchiveKind.ZIP, {"x.jpg": jpeg(5)})


def test_what_is_not_allowed_or_not_there(asked: Settings, tmp_path: Path) -> None:
    for uri in ("gs://clinic/2027/", "gs://clinic/20260/", "gs://other/2026", "s3://clinic/2026", "az://clinic/2026"):
        with pytest.raises(ForbiddenSourceError, match="DERMQ_API_ALLOW_S3_SOURCES"):
            opened(uri, asked, tmp_path)
    with pytest.raises(ArchiveError, match=r"gs://clinic/2026/gone\.zip: there is no such object"):
        opened("gs://clinic/2026/gone.zip", asked, tmp_path)


def test_azure_is_asked_at_its_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "clinic")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "Zm9v")
    monkeypatch.setenv("AZURE_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    storage = CloudStorage("az", "scans", "2026", StorageSettings(timeout_s=0.5))
    with pytest.raises(StorageUnavailableError, match=r"^az://scans/2026: listing"):
        list(storage.list(""))


@pytest.mark.parametrize("uri", ["gs:/clinic", "gcs://clinic", "http://clinic", "az://", "clinic"])
def test_addresses_that_are_none(uri: str) -> None:
    with pytest.raises(ValueError, match=r"expected s3://bucket/prefix \(or gs://, az://\)"):
        split_bucket_uri(uri)
    assert split_bucket_uri("az://scans/a%20b/c d/") == ("az://scans", "a%20b/c d")
