"""Everything on S3: the index of a job, an uploaded archive, and a prefix of somebody else's bucket as the source."""

from __future__ import annotations

from pathlib import Path

from core.db.engine import transaction
from core.db.models import LOCAL_TENANT_ID, JobState
from core.db.retrying import retry_job
from tests.support.s3 import client, make_bucket, refuse_after, running_s3
from tests.support.servers import running_broker
from tests.support.stack import jpeg, worker_stack, write_zip


def test_jobs_over_object_storage(tmp_path: Path, serving_address: str) -> None:
    (tmp_path / "broker").mkdir()
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with (
        running_s3() as s3,
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(tmp_path, database_url=url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        make_bucket(s3, "dermq")
        make_bucket(s3, "clinic")
        stack.env |= {
            "DERMQ_STORAGE_URL": "s3://dermq/objects",
            "DERMQ_API_ALLOW_S3_SOURCES": "s3://clinic/2026",
            "DERMQ_STORAGE_S3_ENDPOINT": s3.s3_endpoint,
            "DERMQ_STORAGE_S3_ACCESS_KEY_ID": "testing",
            "DERMQ_STORAGE_S3_SECRET_ACCESS_KEY": "testing",
        }
        for number in range(20):
            client(s3).put_object(Bucket="clinic", Key=f"2026/{number:02}.jpg", Body=jpeg(number))
        client(s3).put_object(Bucket="clinic", Key="2026/readme.txt", Body=b"not an image")
        archive = write_zip(tmp_path / "a.zip", [(f"{number}.jpg", jpeg(number)) for number in range(40)])
        client(s3).upload_file(str(archive), "dermq", "objects/uploads/1/archive")
        stack.start_worker()
        stack.start_beat()
        prefix = stack.submit(archive, source={"kind": "s3", "uri": "s3://clinic/2026/"})
        others = stack.submit(archive, source={"kind": "s3", "uri": "s3://clinic/2025/"})
        uploaded = stack.submit(archive, source={"kind": "upload", "key": "uploads/1/archive", "filename": "a.zip"})
        job = stack.wait(prefix)
        assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, 20, 1)
        names = [row.name.decode() for row in stack.results(prefix)]
        assert names == sorted(names)
        assert names[0].endswith("00.jpg")
        assert stack.wait(uploaded).succeeded == 40  # DermQ's own storage needs no permission
        refused = stack.wait(others)
        assert (refused.state, refused.error_code) == (JobState.FAILED, "forbidden_source")
        assert "DERMQ_API_ALLOW_S3_SOURCES" in (refused.error or "")


def test_a_source_that_refuses_access_ends_its_job_which_goes_on_when_it_is_allowed(
    database_url: str, tmp_path: Path, serving_address: str
) -> None:
    (tmp_path / "broker").mkdir()
    with (
        running_s3() as s3,
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(tmp_path, database_url=database_url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        make_bucket(s3, "clinic")
        for number in range(40):
            client(s3).put_object(Bucket="clinic", Key=f"2026/{number:02}.jpg", Body=jpeg(number))
        stack.env |= {
            "DERMQ_API_ALLOW_S3_SOURCES": "s3://clinic",
            "DERMQ_STORAGE_S3_ENDPOINT": s3.s3_endpoint,
            "DERMQ_STORAGE_S3_ACCESS_KEY_ID": "testing",
            "DERMQ_STORAGE_S3_SECRET_ACCESS_KEY": "testing",
        }
        refuse_after(s3, 25)  # the listing and some of the images
        stack.start_worker(ready=True)
        stack.start_beat()
        source = {"kind": "s3", "uri": "s3://clinic/2026/"}
        half = stack.wait(half_id := stack.submit(tmp_path / "half", source=source), timeout_s=60)
        assert (half.state, half.error_code, half.failed) == (JobState.FAILED, "source_denied", 0)
        assert "access denied" in (half.error or "")
        assert 0 < half.succeeded < 40, "its rows so far stay"
        none = stack.wait(stack.submit(tmp_path / "none", source=source), timeout_s=60)  # refused at the listing
        assert (none.state, none.error_code, none.total) == (JobState.FAILED, "source_denied", None)
        refuse_after(s3, None)
        with transaction(stack.engine) as session:
            retry_job(session, LOCAL_TENANT_ID, half_id, half.failed_at)  # type: ignore[arg-type]
        half = stack.wait(half_id)
        assert (half.state, half.succeeded, half.failed, half.error_code) == (JobState.SUCCEEDED, 40, 0, None)
        assert [row.item_no for row in stack.results(half_id)] == list(range(40))
