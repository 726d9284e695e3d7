"""What only S3 does: outages, timeouts, refusals, uploads left behind, and who pays for the import."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import NotFoundError, StorageUnavailableError
from core.settings import StorageSettings
from core.storage.factory import open_storage, split_bucket_uri
from core.storage.local import LocalStorage
from tests.support.s3 import client, make_bucket, put_object, running_s3, s3_settings, storage_in


@pytest.fixture(scope="module")
def s3() -> Iterator[StorageSettings]:
    with running_s3() as settings:
        make_bucket(settings, "dermq-test")
        yield settings


def test_a_server_that_is_away_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        storage = storage_in(s3_settings(f"http://127.0.0.1:{unused.getsockname()[1]}", timeout_s=2), "bucket")
    for use in (storage.check, lambda: storage.open("k"), lambda: next(storage.list("")), lambda: storage.delete("k")):
        with pytest.raises(StorageUnavailableError):
            use()
    writer = storage.writer("k")
    writer.write(b"x")
    with pytest.raises(StorageUnavailableError):
        writer.commit()


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        storage = storage_in(s3_settings(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.5), "bucket")
        with pytest.raises(StorageUnavailableError):
            storage.open("k")
        silent.setblocking(False)
        tries = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                tries += 1
    assert 1 <= tries <= 4
    options = storage._store.client_options
    assert (options["timeout"], options["connect_timeout"]) == ("500ms", "500ms")
    assert storage._store.retry_config["retry_timeout"] == timedelta(seconds=0.5)


def test_a_missing_bucket(s3: StorageSettings) -> None:
    storage = storage_in(s3, "no-such-bucket")
    with pytest.raises(StorageUnavailableError, match="no such bucket"):
        storage.check()
    with pytest.raises(NotFoundError, match="no such bucket"):
        next(storage.list(""))


def test_an_aborted_upload_leaves_no_parts(s3: StorageSettings) -> None:
    storage = storage_in(s3, "dermq-test")
    with storage.writer("big") as writer:
        for _ in range(5):
            writer.write(bytes(8 << 20))
    assert client(s3).list_multipart_uploads(Bucket="dermq-test").get("Uploads", []) == []
    assert list(storage.list("")) == []


def test_whole_objects_are_read_within_a_limit(s3: StorageSettings) -> None:
    storage = storage_in(s3, "dermq-test", "whole")
    with storage.writer("k") as writer:
        writer.write(b"0123456789")
        writer.commit()
    assert storage.read_whole("k", 10) == b"0123456789"
    assert storage.read_whole("k", 4) == b"0123"
    assert storage.exists("k")
    assert not storage.exists("nope")
    with pytest.raises(NotFoundError):
        storage.read_whole("nope", 4)


def test_listing_and_deleting_go_beyond_one_page(s3: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.storage.s3._LIST_ITEMS", 10)
    storage = storage_in(s3, "dermq-test", "pages")
    for number in range(25):
        put_object(s3, "dermq-test", f"pages/n/{number:04}", b"x")
    assert [info.key for info in storage.list("n/")] == [f"n/{number:04}" for number in range(25)]
    assert storage.delete_prefix("n/") == 25
    assert list(storage.list("")) == []


def test_a_child_of_a_process_that_used_s3_is_told_so(s3: StorageSettings) -> None:
    code = f"""
        import os
        from tests.support.s3 import s3_settings, storage_in
        unused = storage_in(s3_settings({s3.s3_endpoint!r}), "dermq-test")
        def run_child(use):
            pid = os.fork()
            if not pid:
                try:
                    use()
                except RuntimeError as error:
                    os._exit(7 if "was forked" in str(error) else 1)
                os._exit(0)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert run_child(unused.check) == 0
        unused.check()
        assert run_child(unused.check) == 7
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60, cwd=Path(__file__).parents[4])


def test_urls(tmp_path: Path) -> None:
    assert isinstance(open_storage(tmp_path.as_uri(), StorageSettings()), LocalStorage)
    for url in ("", "/folder", "file://host/folder", "file:folder", "s3:///key", "gs://bucket", "http://host"):
        with pytest.raises(ValueError, match="expected"):
            open_storage(url, StorageSettings())
    assert split_bucket_uri("s3://bucket") == split_bucket_uri("s3://bucket/") == ("s3://bucket", "")
    assert split_bucket_uri("s3://bucket/a%20b/c d/") == ("s3://bucket", "a%20b/c d")


def test_obstore_is_loaded_for_s3_only() -> None:
    code = (
        "import sys; from core.archives.detect import prepare_archive; from core.archives.open import open_archive; "
        "from core.settings import StorageSettings; from core.storage.factory import open_storage; "
        "open_storage('file:///nowhere', StorageSettings()); assert 'obstore' not in sys.modules; "
        "open_storage('s3://bucket', StorageSettings()); assert 'obstore' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[4])
