"""Backup and restore with a job half done: it goes on elsewhere, with an empty Redis, and every item has exactly one row."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from core.db.engine import reading
from core.db.jobs import NewUpload
from core.db.models import Chunk, JobState
from core.storage.factory import open_storage
from tests.support.databases import own_database
from tests.support.servers import ROOT, postgres_programs, running_broker
from tests.support.stack import WorkerStack, pictures, worker_stack, write_zip

SCRIPTS = ROOT / "deploy" / "operations"
ITEMS = 1000


@pytest.fixture
def elsewhere_url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """An empty database of the same kind as `database_url`, to restore into."""
    if database_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'elsewhere' / 'ledger.db'}"
        return
    with own_database(database_url.rpartition("/")[0], f"elsewhere_{uuid.uuid4().hex[:8]}") as url:
        yield url


def operate(script: str, *arguments: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts, as its shim does."""
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), "--direct", *map(str, arguments)]
    return subprocess.run(
        command,
        check=False,
        env={"PATH": f"{postgres_programs()}:/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


def submit_upload(stack: WorkerStack, archive: Path) -> uuid.UUID:
    """What the API does with an upload: the bytes first, then the rows."""
    upload_id = uuid.uuid4()
    key = f"uploads/{upload_id}/archive"
    with open_storage(stack.env["DERMQ_STORAGE_URL"], stack.settings.storage).writer(key) as writer:
        writer.write(archive.read_bytes())
        stored = writer.commit()
    return stack.submit(
        archive,
        source={"kind": "upload", "key": key, "filename": archive.name},
        upload=NewUpload(upload_id, key, archive.name, stored.size, stored.sha256),
    )


def test_a_job_that_ran_during_the_backup_goes_on_after_the_restore(
    database_url: str, elsewhere_url: str, serving_address: str, tmp_path: Path
) -> None:
    archive = write_zip(tmp_path / "a.zip", pictures(ITEMS))
    here, there = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here / "broker", there / "broker"):
        folder.mkdir(parents=True)
    with (
        running_broker("valkey", here / "broker") as broker_url,
        worker_stack(here, database_url=database_url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        model = here / "data" / "models" / "tiny" / "3" / "saved_model.pb"
        model.parent.mkdir(parents=True)
        model.write_bytes(b"a model")
        (here / "data" / "models.config").write_text("model_config_list {}")
        stack.env["DERMQ_WORKER_BATCH_ITEMS"] = "1"  # slow, so that the backup meets a job that runs
        stack.start_worker()
        stack.start_beat()
        job_id = submit_upload(stack, archive)
        archive.unlink()
        stack.wait_for_rows(job_id, 100)
        saved = operate("backup", tmp_path / "backups", env=stack.env)
        assert saved.returncode == 0, saved.stderr
        assert stack.job(job_id).state == JobState.RUNNING, "the backup came too late to mean anything"
    shutil.rmtree(here)
    backup = Path(saved.stdout.strip())
    assert [path.name for path in backup.parent.iterdir()] == [backup.name]

    env = {
        "DERMQ_DATABASE_URL": elsewhere_url,
        "DERMQ_STORAGE_URL": (there / "objects").as_uri(),
        "DERMQ_DATA_DIR": str(there / "data"),
    }
    restored = operate("restore", backup, env=env)
    assert restored.returncode == 0, restored.stderr
    assert "1 running" in restored.stderr
    with (
        running_broker("valkey", there / "broker") as broker_url,
        worker_stack(there, database_url=elsewhere_url, broker_url=broker_url, serving_address=serving_address) as stack,
    ):
        assert (there / "data" / "models" / "tiny" / "3" / "saved_model.pb").read_bytes() == b"a model"
        assert (there / "data" / "models.config").read_text() == "model_config_list {}"
        before = stack.job(job_id)
        assert (before.state, 0 < before.succeeded < ITEMS) == (JobState.RUNNING, True)
        stack.start_worker()
        stack.start_beat()
        job = stack.wait(job_id)
        assert (job.state, job.succeeded, job.failed) == (JobState.SUCCEEDED, ITEMS, 0)
        assert [row.item_no for row in stack.results(job_id)] == list(range(ITEMS))
        with reading(stack.engine) as session:
            assert set(session.scalars(select(Chunk.crashes))) == {0}, "a restore is nobody's crash"
        again = operate("restore", backup, env=env)
        assert again.returncode == 1
        assert "the stack is not empty, and nothing was changed" in again.stderr


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A finished backup of an empty ledger on SQLite."""
    env = {"DERMQ_DATA_DIR": str(tmp_path / "here"), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "cli.stack.ledger"], env=env, cwd=ROOT, check=True, capture_output=True)
    done = operate("backup", tmp_path / "backups", env=env)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_a_damaged_backup_is_refused_before_anything_is_touched(backup: Path, tmp_path: Path) -> None:
    env = {"DERMQ_DATA_DIR": str(tmp_path / "there"), "HOME": str(tmp_path)}
    assert operate("restore", backup, "--check", env=env).returncode == 0
    dump = backup / "ledger.dump"
    damaged = bytearray(dump.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    dump.write_bytes(damaged)
    for arguments in ((backup, "--check"), (backup,)):
        refused = operate("restore", *arguments, env=env)
        assert refused.returncode == 1
        assert "ledger.dump has another SHA-256" in refused.stderr
    assert not (tmp_path / "there").exists()


def test_a_backup_says_what_it_holds_and_what_it_does_not(backup: Path) -> None:
    content = json.loads((backup / "manifest.json").read_text())
    assert set(content["files"]) == {"ledger.dump", "objects.tar", "models.tar", "config.tar"}
    assert content["not_included"] == ["redis", "secrets"]
    assert content["database"] == "sqlite"
    assert backup.stat().st_mode & 0o077 == 0, "only its owner may read it"


def test_a_backup_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    failed = operate("backup", tmp_path / "backups", env={"DERMQ_DATA_DIR": str(tmp_path / "empty"), "HOME": str(tmp_path)})
    assert failed.returncode == 1
    assert "the ledger is empty" in failed.stderr
    assert list((tmp_path / "backups").iterdir()) == []


def test_an_unfinished_backup_and_one_of_another_database_are_refused(backup: Path, tmp_path: Path, postgres_url: str) -> None:
    other = operate("restore", backup, env={"DERMQ_DATABASE_URL": postgres_url, "HOME": str(tmp_path)})
    assert "holds a sqlite ledger, and this stack has postgresql" in other.stderr
    (backup / "manifest.json").unlink()
    unfinished = operate("restore", backup, env={"DERMQ_DATA_DIR": str(tmp_path / "there"), "HOME": str(tmp_path)})
    assert (other.returncode, unfinished.returncode) == (1, 1)
    assert "expected a folder that `backup` has finished" in unfinished.stderr
