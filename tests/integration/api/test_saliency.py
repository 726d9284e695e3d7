"""Which places of a picture speak for a class: from the model server to a PNG, kept below the job and gone with it."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from core.db.models import ItemState
from core.imaging import decode_image
from core.settings import ImageLimits, ServingSettings
from serving.client import PredictClient
from tests.integration.api.conftest import Api, classify, failed, make_settings, problem, running_api, scored, warm_up
from tests.support.stack import jpeg
from tests.support.tiny_model import HAM_CLASSES, tiny_maps


def quarters() -> bytes:
    """A picture of 80x60 pixels whose four quarters differ, without loss."""
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:30, :40] = (250, 20, 20)
    pixels[:30, 40:] = (20, 250, 20)
    pixels[30:, :40] = (20, 20, 250)
    pixels[30:, 40:] = (120, 120, 120)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def map_of(api: Api, job: object, **query: str) -> httpx2.Response:
    return api.client.get(f"/v1/jobs/{job}/items/0/saliency", params=query)


def strength(response: httpx2.Response) -> np.ndarray:  # type: ignore[type-arg]
    """The alpha channel, 0…1."""
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)).convert("RGBA"))[..., 3] / 255


def test_the_map_of_each_class_is_the_models(explaining: Api) -> None:
    answer = classify(explaining, quarters()).json()
    pixels = decode_image(quarters(), height=28, width=28, limits=ImageLimits()).pixels
    [expected] = tiny_maps(pixels[None])
    kinds = set()
    for number, label in enumerate(HAM_CLASSES):
        drawn = strength(map_of(explaining, answer["job"], label=label))
        assert drawn.shape == (192, 256)
        middles = drawn[24::48, 32::64]  # of the 4x4 places
        np.testing.assert_allclose(middles, expected[..., number], atol=0.03)
        kinds.add(middles.tobytes())
    assert len(kinds) > 3
    usual = map_of(explaining, answer["job"])
    assert usual.content == map_of(explaining, answer["job"], label=answer["label"]).content
    assert len(usual.content) < 60_000


def test_it_is_for_this_browser_only_and_no_page(explaining: Api) -> None:
    job = classify(explaining, jpeg(100)).json()["job"]
    response = map_of(explaining, job)
    assert response.headers["content-type"] == "image/png"
    assert response.headers["cache-control"] == "private, max-age=86400, immutable"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"
    again = explaining.client.get(str(response.url), headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_an_answer_is_kept_with_the_job_and_goes_with_it(explaining: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job = classify(explaining, jpeg(120)).json()["job"]
    key = f"jobs/{job}/saliency/1/0"
    assert key not in explaining.stored()
    first = map_of(explaining, job, label="mel")
    assert key in explaining.stored()
    calls: list[str] = []
    explain = PredictClient.explain
    monkeypatch.setattr(PredictClient, "explain", lambda *args, **more: calls.append(args[1]) or explain(*args, **more))
    assert map_of(explaining, job, label="mel").content == first.content
    assert map_of(explaining, job, label="nv").status_code == 200
    assert calls == []
    with explaining.storage.writer(key) as writer:  # what another release left
        writer.write(b'{"maps": 1}')
        writer.commit()
    assert map_of(explaining, job, label="mel").content == first.content
    assert calls == ["tiny"]
    assert explaining.client.delete(f"/v1/jobs/{job}").status_code == 204
    problem(map_of(explaining, job), 404, "not_found")
    assert [each for each in explaining.stored() if str(job) in each] == []


def test_a_class_that_the_model_does_not_have_is_refused(explaining: Api) -> None:
    job = classify(explaining, jpeg(130)).json()["job"]
    assert "expected one of akiec, bcc" in problem(map_of(explaining, job, label="cat"), 400, "invalid_request")["detail"]
    problem(map_of(explaining, job, label=""), 422, "invalid_parameters")


def test_jobs_and_items_that_are_not_there(explaining: Api) -> None:
    problem(map_of(explaining, uuid.UUID(int=5)), 404, "not_found")
    job = classify(explaining, jpeg(140)).json()["job"]
    problem(explaining.client.get(f"/v1/jobs/{job}/items/1/saliency"), 404, "not_found")


def test_a_failed_item_has_no_answer_to_explain(explaining: Api) -> None:
    job = explaining.run(1, failed)
    assert explaining.client.get(f"/v1/jobs/{job}/items/0").json()["status"] == ItemState.FAILED
    assert "failed (truncated)" in problem(map_of(explaining, job), 409, "conflict")["detail"]


def test_a_version_that_is_not_served_any_more_cannot_be_asked(explaining: Api) -> None:
    job = explaining.run(1, lambda number: scored(number, (0.1, 0.2, 0.3, 0.4)))  # of version 3
    assert "version 3 of tiny" in problem(map_of(explaining, job), 409, "conflict")["detail"]


def test_a_version_without_the_signature_says_so(tmp_path: Path, serving_address: str) -> None:
    serving = ServingSettings(address=serving_address, default_model="tiny")
    with running_api(make_settings(tmp_path, serving=serving)) as api:
        warm_up(api)
        job = classify(api, jpeg(100)).json()["job"]
        assert "no signature explain" in problem(map_of(api, job), 404, "not_found")["detail"]


def test_without_a_model_server_it_is_503(api: Api) -> None:
    job = api.run(1, lambda number: scored(number, (0.1, 0.2, 0.3, 0.4)))
    problem(map_of(api, job), 503, "serving_unavailable")
