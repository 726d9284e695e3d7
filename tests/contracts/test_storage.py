"""One contract over both object storages: a local folder, and S3 on a real server."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import NotFoundError
from core.settings import StorageSettings
from core.storage.base import ObjectStorage
from core.storage.factory import open_storage
from tests.support.s3 import make_bucket, running_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[StorageSettings]:
    with running_s3() as settings:
        make_bucket(settings, "dermq-test")
        yield settings


@pytest.fixture(params=["local", "s3", "s3-without-prefix"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStorage:
    if request.param == "local":
        return open_storage((tmp_path / "öbjects and more").as_uri(), StorageSettings())
    settings = request.getfixturevalue("s3")
    if request.param == "s3":
        return open_storage(f"s3://dermq-test/{uuid.uuid4().hex}/data", settings)
    make_bucket(settings, bucket := f"dermq-{uuid.uuid4().hex}")
    return open_storage(f"s3://{bucket}", settings)


def put(storage: ObjectStorage, key: str, data: bytes = b"x") -> None:
    with storage.writer(key) as writer:
        writer.write(data)
        writer.commit()


def keys(storage: ObjectStorage, prefix: str = "") -> list[str]:
    return [info.key for info in storage.list(prefix)]


def test_what_is_committed_is_read_back_by_range(storage: ObjectStorage) -> None:
    data = bytes(range(256)) * 40
    with storage.writer("jobs/1/index") as writer:
        for start in range(0, len(data), 1000):
            writer.write(data[start : start + 1000])
        stored = writer.commit()
    assert (stored.key, stored.size, stored.sha256) == ("jobs/1/index", len(data), hashlib.sha256(data).hexdigest())
    access = storage.open("jobs/1/index")
    assert access.size == len(data)
    assert access.read_at(0, len(data)) == data
    assert access.read_at(777, 333) == data[777:1110]
    assert access.read_at(len(data) - 5, 100) == data[-5:]
    assert access.read_at(len(data), 1) == access.read_at(len(data) + 10, 1) == access.read_at(0, 0) == b""
    access.close()


def test_an_object_of_many_parts_is_whole(storage: ObjectStorage) -> None:
    block = bytes(range(256)) * 4096  # 1 MiB
    digest = hashlib.sha256()
    with storage.writer("big") as writer:
        for _ in range(37):
            writer.write(block)
            digest.update(block)
        stored = writer.commit()
    access = storage.open("big")
    assert stored.size == access.size == 37 * len(block)
    assert stored.sha256 == digest.hexdigest()
    assert access.read_at(16 * len(block) - 10, 20) == block[-10:] + block[:10]
    access.close()


def test_nothing_is_visible_before_commit_nor_after_abort(storage: ObjectStorage) -> None:
    with storage.writer("a/b") as writer:
        writer.write(b"x" * 1000)
        assert keys(storage) == []
        with pytest.raises(NotFoundError):
            storage.open("a/b")
    assert keys(storage) == []
    writer.abort()
    with pytest.raises(ValueError, match="committed or aborted"):
        writer.write(b"more")
    with pytest.raises(ValueError, match="committed or aborted"):
        writer.commit()


def test_an_error_in_the_block_leaves_the_old_object(storage: ObjectStorage) -> None:
    put(storage, "k", b"old")

    def replace_and_fail() -> None:
        with storage.writer("k") as writer:
            writer.write(b"new" * 7_000_000)
            raise KeyError("client gone")

    with pytest.raises(KeyError, match="client gone"):
        replace_and_fail()
    assert storage.open("k").read_at(0, 10) == b"old"


def test_a_commit_replaces_and_abort_after_it_does_nothing(storage: ObjectStorage) -> None:
    put(storage, "k", b"old")
    with storage.writer("k") as writer:
        writer.write(b"new")
        writer.commit()
        writer.abort()
    assert storage.open("k").read_at(0, 10) == b"new"


def test_an_empty_object_is_an_object(storage: ObjectStorage) -> None:
    with storage.writer("empty") as writer:
        stored = writer.commit()
    assert stored.size == 0
    access = storage.open("empty")
    assert (access.size, access.read_at(0, 10)) == (0, b"")
    access.close()


def test_listing_is_by_string_prefix_in_byte_order(storage: ObjectStorage) -> None:
    names = ["jobs/a/1", "jobs/a-b", "jobs/a.txt", "jobs/a/sub/2", "jobs/ab", "jobs/é", "jobs/~", "other", "jobs2/x", "jobs/B"]
    for name in names:
        put(storage, name, name.encode())
    assert keys(storage) == sorted(names, key=str.encode)
    assert keys(storage, "jobs/") == sorted((n for n in names if n.startswith("jobs/")), key=str.encode)
    assert keys(storage, "jobs/a") == ["jobs/a-b", "jobs/a.txt", "jobs/a/1", "jobs/a/sub/2", "jobs/ab"]
    assert keys(storage, "jobs/a/") == ["jobs/a/1", "jobs/a/sub/2"]
    assert keys(storage, "nothing/") == keys(storage, "zzz") == []
    assert {info.key: info.size for info in storage.list("jobs/a")}["jobs/a/sub/2"] == 12


def test_deleting(storage: ObjectStorage) -> None:
    for name in ("jobs/1/a", "jobs/1/b/c", "jobs/12/a", "z"):
        put(storage, name)
    storage.delete("jobs/1/a")
    storage.delete("jobs/1/a")
    storage.delete("never/there")
    storage.delete("jobs")
    storage.delete("z/below/an/object")
    assert keys(storage) == ["jobs/1/b/c", "jobs/12/a", "z"]
    assert storage.delete_prefix("jobs/1/") == 1
    assert storage.delete_prefix("jobs/1/") == 0
    assert keys(storage) == ["jobs/12/a", "z"]


def test_a_missing_object_is_not_found(storage: ObjectStorage) -> None:
    put(storage, "a/b")
    for key in ("nope", "a", "a/b/c"):
        with pytest.raises(NotFoundError):
            storage.open(key)


@pytest.mark.parametrize("key", ["", "/a", "a/", "../a", "a/../b", "a//b", "./a", "a/.", "a\0b", "a\nb", "x" * 1025])
def test_keys_that_are_no_keys_are_refused(storage: ObjectStorage, key: str) -> None:
    for use in (storage.open, storage.writer, storage.delete):
        with pytest.raises(ValueError, match="storage key"):
            use(key)


def test_keys_may_hold_what_names_hold(storage: ObjectStorage) -> None:
    names = ["with space", "ü/ö", "100%25", "q?#&+", "a\\b", "tilde~", ".hidden/x"]
    for name in names:
        put(storage, name, name.encode())
    assert keys(storage) == sorted(names, key=str.encode)
    for name in names:
        assert storage.open(name).read_at(0, 100) == name.encode()


def test_check_passes_and_leaves_nothing(storage: ObjectStorage) -> None:
    storage.check()
    assert keys(storage) == []
