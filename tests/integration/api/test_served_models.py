"""What is served is listed without a setting, and a submission that names anything else is refused at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.db.engine import transaction
from core.db.versions import ModelAction, NewEvent, record_event
from core.settings import ServingSettings
from tests.integration.api.conftest import Api, make_settings, problem, running_api
from tests.support.stack import jpeg

ZIP = b"PK\x05\x06" + bytes(18)  # an empty archive


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, serving_address: str) -> Iterator[Api]:
    """An API in front of a server that has `tiny` version 2 alone, while its default model is another one."""
    serving = ServingSettings(address=serving_address, default_model="absent", timeout_s=20)
    with running_api(make_settings(tmp_path_factory.mktemp("served"), serving=serving)) as api:
        yield api


def names(api: Api) -> list[str]:
    return [model["name"] for model in api.client.get("/v1/models").json()["data"]]


def promote(api: Api, model: str) -> None:
    with transaction(api.engine) as session:
        record_event(session, NewEvent("ada", ModelAction.PROMOTE, model, 2, "stable"), SystemClock().now())


def test_a_promoted_model_is_listed_if_it_is_served(served: Api) -> None:
    assert names(served) == ["absent"]
    promote(served, "tiny")
    promote(served, "long gone")
    assert names(served) == ["absent", "tiny"]
    tiny = served.client.get("/v1/models").json()["data"][1]
    assert (tiny["default"], tiny["versions"][0]["state"], tiny["versions"][0]["promoted"]["by"]) == (False, "AVAILABLE", "ada")


@pytest.mark.parametrize("text", ["not a config {", "", None], ids=["broken", "empty", "missing"])
def test_a_configuration_that_cannot_be_read_lists_nothing(served: Api, text: str | None) -> None:
    path = served.settings.data.data_dir / "models.config"
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
    assert names(served)[0] == "absent"


def test_a_configured_model_is_listed_if_it_is_served(tmp_path: Path, serving_address: str) -> None:
    entries = "\n".join(f'config {{ name: "{name}" base_path: "/m/{name}" }}' for name in ("tiny", "other"))
    (tmp_path / "models.config").write_text(f"model_config_list {{ {entries} }}")
    serving = ServingSettings(address=serving_address, default_model="absent", timeout_s=20)
    with running_api(make_settings(tmp_path, serving=serving)) as api:
        assert names(api) == ["absent", "tiny"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"model": "nope"}, "nope"),
        ({}, "absent"),
        ({"model": "tiny", "version": 9}, "version 9"),
        ({"model": "tiny", "label": "stable"}, "stable"),
    ],
    ids=["model", "default model", "version", "label"],
)
def test_what_is_not_served_is_refused_at_submission(served: Api, asked: dict[str, str | int], words: str) -> None:
    jobs = served.client.get("/v1/jobs").json()["data"]
    for answer in (
        served.client.post("/v1/jobs", params=asked, content=ZIP),
        served.client.put("/v1/jobs/a.zip", params=asked, content=ZIP),
        served.client.post("/v1/classify", params=asked, content=jpeg(3)),
    ):
        body = problem(answer, 404, "unknown_model")
        assert words in body["detail"]
        assert "`dermq models` lists what is served" in body["detail"]
    assert served.client.get("/v1/jobs").json()["data"] == jobs
    assert not served.stored(), "the upload is not kept"


def test_what_is_served_is_taken_and_found_again_by_its_key(served: Api) -> None:
    for asked in ({"model": "tiny"}, {"model": "tiny", "version": 2}):
        assert served.client.post("/v1/jobs", params=asked, content=ZIP).status_code == 202


def test_a_replay_finds_its_job_whatever_is_served_by_now(tmp_path: Path, serving_address: str) -> None:
    asked = {"params": {"model": "whoever"}, "content": ZIP, "headers": {"Idempotency-Key": "again"}}
    with running_api(make_settings(tmp_path)) as api:
        first = api.client.post("/v1/jobs", **asked)
    serving = ServingSettings(address=serving_address, default_model="tiny", timeout_s=20)
    with running_api(make_settings(tmp_path, serving=serving)) as later:
        answer = later.client.post("/v1/jobs", **asked)
        assert (answer.status_code, answer.json()["id"]) == (202, first.json()["id"])
        problem(later.client.post("/v1/jobs", params={"model": "whoever"}, content=ZIP), 404, "unknown_model")


def test_without_serving_a_job_is_taken_and_waits(tmp_path: Path) -> None:
    with running_api(make_settings(tmp_path)) as api:
        assert api.client.post("/v1/jobs", params={"model": "whoever"}, content=ZIP).status_code == 202
