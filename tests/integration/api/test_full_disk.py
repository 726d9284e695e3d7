"""A disk that takes no more: uploads are refused and leave nothing, what is there is served on."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.settings import StorageSettings
from tests.integration.api.conftest import Api, make_settings, problem, running_api

LIMIT_BYTES = 4 * 1024 * 1024


@contextmanager
def small_files_only() -> Iterator[None]:
    """The kernel refuses to write a file beyond this size (Python ignores the signal): as a full disk does, for one process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_upload_that_would_fill_the_disk_is_refused_before_and_while_it_comes(tmp_path: Path) -> None:
    least = shutil.disk_usage(tmp_path).free + 1024**3
    with running_api(make_settings(tmp_path, storage=StorageSettings(min_free_bytes=least))) as full:
        for content in (bytes(100), iter([bytes(100)])):  # announced, and not
            refused = full.client.put("/v1/jobs/a.zip", content=content)
            problem(refused, 507, "disk_full")
            assert int(refused.headers["retry-after"]) > 0
            assert str(least) not in refused.text
        refused = full.client.post("/v1/uploads", headers={"Upload-Length": "100", "Tus-Resumable": "1.0.0"})
        problem(refused, 507, "disk_full")
        assert full.stored() == []
        assert full.client.get("/v1/jobs").json()["data"] == []


def test_an_upload_that_does_not_fit_is_refused_and_leaves_nothing(api: Api) -> None:
    with small_files_only():
        refused = api.client.put("/v1/jobs/large.zip", content=bytes(LIMIT_BYTES + LIMIT_BYTES // 2))
        problem(refused, 503, "storage_unavailable")
        assert int(refused.headers["retry-after"]) > 0
        assert api.stored() == []
        assert api.client.get("/v1/jobs").json()["data"] == []
        assert api.client.get("/healthz").status_code == 200
    assert api.client.put("/v1/jobs/large.zip", content=bytes(LIMIT_BYTES + LIMIT_BYTES // 2)).status_code == 202
