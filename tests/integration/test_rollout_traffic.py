"""Under constant traffic and in mid-job: promotions and rollbacks that nobody who asks notices."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest

from core.db.models import JobState
from core.errors import ModelContractError
from serving.client import PredictClient
from serving.lifecycle.golden import draw_images
from serving.protos import predict_pb2
from serving.retrying import Retry
from serving.stubs import Stubs
from serving.tensors import fill_tensor, to_array
from tests.support.rollouts import BIASES, BROKEN, Served, make_repository, served
from tests.support.servers import running_broker
from tests.support.stack import png, worker_stack, write_zip
from tests.support.tiny_model import tiny_probabilities

CLIENTS = 4
IMAGES = draw_images(28, 28)[:2]
EXPECTED = {version: tiny_probabilities(IMAGES, bias=bias) for version, bias in BIASES.items()}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Served]:
    make_repository(tmp_path / "models")
    with served(tmp_path, tmp_path / "models") as running:
        yield running


@dataclass
class Traffic:
    """Clients that never pause: half of the requests are pinned to version 1, as those of a job, half ask for `stable`."""

    address: str
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Traffic:
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self) -> None:
        with (
            PredictClient(self.address, timeout_s=20, retry=Retry(attempts=1)) as client,
            grpc.insecure_channel(self.address) as channel,
        ):
            stubs = Stubs(channel)
            while not self.stop.is_set():
                try:
                    self._note("version 1", 1, client.predict("tiny", 1, IMAGES))
                    self._note("stable", *_ask_stable(stubs))
                except Exception as error:  # noqa: BLE001 - a client would have seen it; the test asserts that there is none
                    self.failures.append(f"{type(error).__name__}: {error}")

    def _note(self, asked: str, version: int, answered: np.ndarray) -> None:
        if not np.allclose(answered, EXPECTED[version], atol=1e-5):
            self.failures.append(f"asked for {asked}, version {version} is said to have answered, but its answer is another's")
        self.answers[asked, version] += 1


def _ask_stable(stubs: Stubs) -> tuple[int, np.ndarray]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.version_label = "tiny", "stable"
    fill_tensor(request.inputs["images"], IMAGES)
    reply = stubs.predict(request, timeout=20)  # once, as above: a retry would hide a failure
    return reply.model_spec.version.value, to_array(reply.outputs["probabilities"])


def test_twenty_promotions_and_rollbacks_under_traffic(here: Served) -> None:
    rollout, moves, broken = here.rollout, 0, 0
    with Traffic(here.client.address) as traffic:
        while moves < 20:
            rollout.promote("tiny", 2)
            rollout.promote("tiny", 3)
            with pytest.raises(ModelContractError):
                rollout.promote("tiny", BROKEN)
            rollout.rollback("tiny")
            rollout.rollback("tiny")
            rollout.retire("tiny", 3)  # version 3 is loaded anew each time
            moves, broken = moves + 4, broken + 1
    assert traffic.failures == []
    assert (moves, broken) == (20, 5)
    assert here.client.describe("tiny", label="stable").version == 1
    assert {version for asked, version in traffic.answers if asked == "version 1"} == {1}
    assert {version for asked, version in traffic.answers if asked == "stable"} == set(BIASES)
    assert traffic.answers.total() > 500


def test_a_job_stays_on_its_version_while_two_promotions_happen(here: Served, tmp_path: Path) -> None:
    shades = [png(shade) for shade in range(0, 250, 5)]
    archive = write_zip(tmp_path / "a.zip", ((f"{number:05}.png", shades[number % 50]) for number in range(3000)))
    (tmp_path / "broker").mkdir()
    with (
        running_broker("valkey", tmp_path / "broker") as broker_url,
        worker_stack(
            tmp_path,
            database_url=f"sqlite:///{tmp_path / 'ledger.db'}",
            broker_url=broker_url,
            serving_address=here.client.address,
        ) as stack,
    ):
        stack.start_worker()
        stack.start_beat()
        job_id = stack.submit(archive)
        for version in (2, 3):
            stack.wait_for_rows(job_id, 200 * version)
            here.rollout.promote("tiny", version)
        assert stack.job(job_id).state == JobState.RUNNING, "the promotions came too late to mean anything"
        job = stack.wait(job_id)
        assert (job.state, job.version, job.succeeded) == (JobState.SUCCEEDED, 1, 3000)
        rows = stack.results(job_id)
        assert {row.version for row in rows} == {1}
        expected = tiny_probabilities(np.full((1, 28, 28, 3), 100, np.uint8))[0]
        hundred = [row for row in rows if row.item_no % 50 == 20]
        assert all(np.allclose(np.frombuffer(row.probabilities, "<f4"), expected, atol=1e-5) for row in hundred)
        after = stack.submit(archive, ring=True)
        stack.wait_for_rows(after, 1)
        assert stack.job(after).version == 3
        stack.cancel(after)
