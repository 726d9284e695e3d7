"""Buckets that are not read as usual: the reader pays, or a presigned URL is all that one has. Real nginx before moto."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from core.archives.base import ArchiveKind, ArchiveRef
from core.archives.fetching import fetch_https
from core.archives.open import open_archive
from core.egress.sending import trusted
from core.errors import ArchiveError, JobErrorCode
from core.settings import ApiSettings, EgressSettings, Settings, StorageSettings
from core.storage.denied import SourceDeniedError
from core.storage.local import LocalStorage
from tests.support.certificates import Authority
from tests.support.nginx import running_nginx
from tests.support.s3 import client, make_bucket, put_object, running_s3, s3_settings
from tests.support.servers import free_port
from tests.support.stack import jpeg, write_zip

# What S3 does for a bucket with requester pays: who does not say that he pays is refused.
PAYING = 'if ($http_x_amz_request_payer != "requester") { return 403; }'


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageSettings]:
    with running_s3() as settings:
        make_bucket(settings, "clinic")
        for number in range(3):
            put_object(settings, "clinic", f"2026/{number}.jpg", jpeg(number))
        put_object(settings, "clinic", "odd//1.jpg", jpeg(9))
        archive = write_zip(tmp_path_factory.mktemp("archive") / "a.zip", [("a.jpg", jpeg(1))])
        put_object(settings, "clinic", "private/läsion + 1.zip", archive.read_bytes())
        yield settings


def listed(settings: Settings, prefix: str) -> list[str]:
    uri = f"s3://clinic/{prefix}"
    archive = open_archive(ArchiveRef(ArchiveKind.S3_PREFIX, "s3", uri, "clinic"), LocalStorage(Path("/nonexistent")), settings)
    try:
        members = list(archive.members())
        if not prefix.startswith("odd"):  # object_store cannot name that one
            assert [archive.read(member) for member in members] == [jpeg(number) for number in range(3)]
        return [member.name for member in members]
    finally:
        archive.close()


@pytest.mark.parametrize("prefix", ["2026", "odd"], ids=["by object_store", "an odd key, listed by our own request"])
def test_a_bucket_whose_reader_pays(s3: StorageSettings, tmp_path: Path, prefix: str) -> None:
    port = free_port()
    with running_nginx(tmp_path, port, {"/clinic": s3.s3_endpoint}, inside=PAYING):
        storage = s3_settings(f"http://127.0.0.1:{port}")
        api = ApiSettings(allow_s3_sources=("s3://clinic",))
        with pytest.raises(SourceDeniedError, match="access denied"):  # a listing that is refused is no outage
            listed(Settings(api=api, storage=storage), prefix)
        paying = storage.model_copy(update={"s3_requester_pays": True})
        names = ["0.jpg", "1.jpg", "2.jpg"] if prefix == "2026" else ["/1.jpg"]
        assert listed(Settings(api=api, storage=paying), prefix) == names


@dataclass
class Bucket:
    """S3 behind TLS, as a presigned URL names it."""

    url: str
    settings: Settings
    s3: StorageSettings

    def sign(self, key: str, seconds: int = 600) -> str:
        signer = client(s3_settings(self.url))
        return str(signer.generate_presigned_url("get_object", {"Bucket": "clinic", "Key": key}, ExpiresIn=seconds))


@pytest.fixture
def bucket(s3: StorageSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    authority = Authority()
    signed = authority.sign("localhost")
    for name, text in (("ca", authority.certificate), ("crt", signed.certificate), ("key", signed.key)):
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca"))
    trusted.cache_clear()
    port = free_port()
    tls = (tmp_path / "crt", tmp_path / "key")
    # moto does not check signatures of its own accord; what has none is refused here, as a private bucket does.
    unsigned = 'if ($args !~ "Signature=") { return 403; }'
    with running_nginx(tmp_path, port, {"/clinic": s3.s3_endpoint}, inside=unsigned, tls=tls):
        url = f"https://localhost:{port}"
        egress = EgressSettings(networks=("127.0.0.0/8", "::1/128"), https_sources=(f"*={url}/clinic/private/",))
        yield Bucket(url, Settings(egress=egress), s3)
    trusted.cache_clear()


def test_a_presigned_url_is_a_source(bucket: Bucket, tmp_path: Path) -> None:
    """Its query is what opens the object; a name with `+`, a blank and an umlaut stays as it was signed."""
    storage, key = LocalStorage(tmp_path / "objects"), "private/läsion + 1.zip"
    url = bucket.sign(key)
    assert urlsplit(url).query
    fetch_https(url, "default", "jobs/a/fetched", storage, bucket.settings)
    access = storage.open("jobs/a/fetched")
    expected = client(bucket.s3).get_object(Bucket="clinic", Key=key)["Body"].read()
    assert access.read_at(0, access.size) == expected
    access.close()
    with pytest.raises(ArchiveError) as refused:
        fetch_https(url.partition("?")[0], "default", "jobs/b/fetched", storage, bucket.settings)
    assert refused.value.code is JobErrorCode.SOURCE_DENIED
