"""Promote, rollback, retire against a real server: what moves, what is refused and left as it was, what a restart keeps."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.clock import SystemClock
from core.db.engine import reading, transaction
from core.db.jobs import NewJob, create_job
from core.db.models import LOCAL_TENANT_ID, Job, JobState
from core.db.versions import last_promotions, list_events
from core.errors import (
    ConflictError,
    DermqError,
    InvalidRequestError,
    ModelContractError,
    ModelNotFoundError,
    NotFoundError,
    ServingUnavailableError,
)
from serving.client import PredictClient
from serving.lifecycle.fleet import Fleet
from serving.lifecycle.golden import golden_path
from tests.support.rollouts import BROKEN, SWAPPED, Served, make_repository, served, start_server
from tests.support.servers import free_port, wait_until


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    make_repository(root)
    return root


@pytest.fixture
def here(tmp_path: Path, models: Path) -> Iterator[Served]:
    shutil.copytree(models, tmp_path / "models")
    with served(tmp_path, tmp_path / "models") as running:
        yield running


def label(here: Served, name: str = "stable") -> int:
    return here.client.describe("tiny", label=name).version


def events(here: Served) -> list[tuple[Any, ...]]:
    with reading(here.engine) as session:
        rows = list_events(session, "tiny")
    return [(row.action, row.outcome, row.version, row.label, row.previous) for row in reversed(rows)]


def add_job(here: Served, **values: Any) -> uuid.UUID:
    """A job as submitted, then moved to where the test wants it."""
    new = NewJob(
        LOCAL_TENANT_ID, "a.zip", {"kind": "path", "path": "/a"}, "tiny", version=values.pop("requested_version", None)
    )
    with transaction(here.engine) as session:
        job = create_job(session, new, SystemClock().now())
        for name, value in values.items():
            setattr(job, name, value)
    return job.id


def test_promote_moves_the_label_and_a_restart_keeps_it(here: Served) -> None:
    moved = here.rollout.promote("tiny", 2)
    assert (moved.version, moved.previous, label(here)) == (2, 1, 2)
    assert "golden batch of 8" in moved.detail
    assert here.states()[1] == "AVAILABLE"  # jobs may be pinned to it
    assert (here.config.versions("tiny"), here.config.labels("tiny")) == ((1, 2), {"stable": 2})
    again = start_server(here.config_path)
    try:
        with PredictClient(f"127.0.0.1:{again.port}") as client:
            assert client.describe("tiny", label="stable").version == 2
            assert client.describe("tiny", version=1).version == 1
    finally:
        again.stop()
    with reading(here.engine) as session:
        promoted = last_promotions(session, "tiny")[2]
    assert (promoted.actor, promoted.label) == ("tester@here", "stable")


def test_each_rollback_goes_one_promotion_further_back(here: Served) -> None:
    for version in (2, 3):
        here.rollout.promote("tiny", version)
    assert [here.rollout.rollback("tiny").version for _ in range(2)] == [2, 1]
    assert label(here) == 1
    with pytest.raises(ConflictError, match="nobody has moved label 'stable' of tiny before"):
        here.rollout.rollback("tiny")
    assert label(here) == 1
    assert events(here) == [
        ("promote", "done", 2, "stable", 1),
        ("promote", "done", 3, "stable", 2),
        ("rollback", "done", 2, "stable", 3),
        ("rollback", "done", 1, "stable", 2),
        ("rollback", "refused", None, "stable", None),
    ]


def test_a_rollback_loads_what_was_retired(here: Served) -> None:
    here.rollout.promote("tiny", 2)
    here.rollout.retire("tiny", 1)
    assert here.states()[1] == "END"
    assert here.rollout.rollback("tiny").version == 1
    assert here.states() == {1: "AVAILABLE", 2: "AVAILABLE"}


def test_a_canary_comes_and_goes_beside_stable(here: Served) -> None:
    here.rollout.promote("tiny", 3, "canary")
    assert (label(here), label(here, "canary")) == (1, 3)
    assert here.rollout.rollback("tiny", "canary").version is None  # it had none before
    with pytest.raises(ModelNotFoundError):
        label(here, "canary")
    here.rollout.promote("tiny", 2, "canary")
    here.rollout.unlabel("tiny", "canary")
    assert here.config.labels("tiny") == {"stable": 1}
    with pytest.raises(ConflictError, match="no label 'canary'"):
        here.rollout.unlabel("tiny", "canary")
    with pytest.raises(ConflictError, match="cannot be without 'stable'"):
        here.rollout.unlabel("tiny", "stable")


def refuse_promotion(here: Served, version: int, error: type[DermqError], words: str) -> None:
    config, states = here.config, here.states()
    with pytest.raises(error, match=words):
        here.rollout.promote("tiny", version)
    assert here.config == config
    assert label(here) == 1
    available = {number for number, state in states.items() if state == "AVAILABLE"}
    wait_until(
        lambda: {number for number, state in here.states().items() if state == "AVAILABLE"} == available,
        timeout_s=20,
        what="the versions that were loaded before",
    )
    assert events(here)[-1] == ("promote", "refused", version, "stable", None)


def test_what_is_wrong_with_a_version_is_found_before_the_label_moves(here: Served) -> None:
    refuse_promotion(here, 9, NotFoundError, "no version 9")
    refuse_promotion(here, BROKEN, ModelContractError, f"cannot load tiny version {BROKEN}")
    refuse_promotion(here, SWAPPED, ModelContractError, "golden batch differs")
    shutil.rmtree(here.root / "tiny" / "2" / "variables")
    (here.root / "tiny" / "2" / "variables").mkdir()
    refuse_promotion(here, 2, ModelContractError, "cannot load tiny version 2")
    golden = golden_path(here.rollout.repository.version("tiny", 3))
    golden.write_bytes(golden.read_bytes()[:100])
    refuse_promotion(here, 3, InvalidRequestError, "expected a golden batch")
    golden.unlink()
    refuse_promotion(here, 3, InvalidRequestError, "has no golden batch")
    with reading(here.engine) as session:
        assert "has no golden batch" in list_events(session, "tiny")[0].detail


def test_a_broken_version_that_is_mended_can_be_promoted(here: Served) -> None:
    refuse_promotion(here, BROKEN, ModelContractError, "cannot load")
    shutil.copytree(here.root / "tiny" / "1", here.root / "tiny" / str(BROKEN), dirs_exist_ok=True)
    assert here.rollout.promote("tiny", BROKEN).version == BROKEN


def test_a_spec_that_differs_from_the_exported_one_is_refused(here: Served) -> None:
    spec = here.client.describe("tiny").spec.model_copy(update={"thresholds": {"balanced": 0.9}})
    extra = here.rollout.repository.version("tiny", 2).extra
    (extra / "spec.json").write_text(spec.model_dump_json())
    refuse_promotion(here, 2, ModelContractError, r"describes itself otherwise .*\['thresholds'\]")


@pytest.mark.parametrize(
    "values",
    [
        {"state": JobState.RUNNING, "version": 2},
        {"state": JobState.CANCELLING, "version": 2},
        {"requested_version": 2},  # still queued
        {"state": JobState.PREPARING},  # may use any version just now
    ],
)
def test_a_version_that_a_job_needs_is_not_unloaded(here: Served, values: dict[str, Any]) -> None:
    here.rollout.promote("tiny", 2)
    here.rollout.rollback("tiny")
    job_id = add_job(here, **values)
    with pytest.raises(ConflictError, match=f"needed by 1 job: {job_id}"):
        here.rollout.retire("tiny", 2)
    assert here.states()[2] == "AVAILABLE"
    with transaction(here.engine) as session:
        job = session.get_one(Job, job_id)
        job.state, job.version = JobState.SUCCEEDED, 2
    here.rollout.retire("tiny", 2)
    assert here.states()[2] == "END"
    assert here.config.versions("tiny") == (1,)


def test_retire_waits_for_the_job_if_told_to(here: Served) -> None:
    here.rollout.promote("tiny", 2)
    here.rollout.rollback("tiny")
    job_id = add_job(here, state=JobState.RUNNING, version=2)
    waited: list[str] = []

    def end_job(_seconds: float) -> None:
        assert here.states()[2] == "AVAILABLE"
        with transaction(here.engine) as session:
            session.get_one(Job, job_id).state = JobState.CANCELLED

    here.rollout.tell, here.rollout.sleep = waited.append, end_job
    here.rollout.retire("tiny", 2, wait_s=60)
    assert here.states()[2] == "END"
    assert str(job_id) in waited[0]


def test_retire_brings_a_version_back_for_a_job_that_came_meanwhile(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    here.rollout.promote("tiny", 2)
    here.rollout.rollback("tiny")
    fleet = here.rollout.fleet
    configure = fleet.configure

    def submit_then_configure(*arguments: Any) -> None:
        monkeypatch.undo()
        add_job(here, requested_version=2)
        configure(*arguments)

    monkeypatch.setattr(fleet, "configure", submit_then_configure)
    with pytest.raises(ConflictError, match="needed by 1 job"):
        here.rollout.retire("tiny", 2)
    assert here.config.versions("tiny") == (1, 2)
    wait_until(lambda: here.states()[2] == "AVAILABLE", timeout_s=20, what="version 2 back")


def test_retire_refuses_what_bears_a_label_or_is_not_loaded(here: Served) -> None:
    with pytest.raises(ConflictError, match="bears 'stable'"):
        here.rollout.retire("tiny", 1)
    with pytest.raises(ConflictError, match="version 2 is not loaded: 1 are"):
        here.rollout.retire("tiny", 2)
    with pytest.raises(NotFoundError, match="'other' is not configured"):
        here.rollout.retire("other", 2)


def test_one_rollout_at_a_time(here: Served) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def hold(_text: str) -> None:
        inside.set()
        assert go_on.wait(30)

    here.rollout.tell = hold
    thread = threading.Thread(target=here.rollout.promote, args=("tiny", 2))
    thread.start()
    assert inside.wait(30)
    with pytest.raises(ConflictError, match="another rollout is under way"):
        here.rollout.unlabel("tiny", "canary")
    go_on.set()
    thread.join(30)
    assert label(here) == 2


def test_a_server_that_is_away_changes_nothing(here: Served) -> None:
    address = f"127.0.0.1:{free_port()}"
    config = here.config
    with Fleet([here.client.address, address], timeout_s=1) as fleet:
        here.rollout.fleet = fleet
        with pytest.raises(ServingUnavailableError, match=f"no model server answers at {address}"):
            here.rollout.promote("tiny", 2)
    assert here.config == config


def test_all_replicas_move_together(here: Served) -> None:
    second = start_server(here.config_path)
    try:
        with Fleet([here.client.address, f"127.0.0.1:{second.port}"]) as fleet:
            here.rollout.fleet = fleet
            here.rollout.promote("tiny", 2)
            assert [client.describe("tiny", label="stable").version for client in fleet.clients] == [2, 2]
            assert fleet.available("tiny") == {1, 2}
    finally:
        second.stop()


def test_a_new_model_is_configured_by_its_first_promotion(here: Served) -> None:
    shutil.copytree(here.root / "tiny" / "3", here.root / "other" / "7")
    assert here.rollout.promote("other", 7).previous is None
    assert here.client.describe("other", label="stable").version == 7
    assert label(here) == 1
