"""Health, readiness, metrics, models, headers, problems and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from api.errors import KINDS, list_kinds
from core.errors import JobErrorCode
from core.settings import ApiSettings, BrokerSettings, DatabaseSettings, ServingSettings
from tests.integration.api.conftest import (
    Api,
    failed,
    make_settings,
    problem,
    running_api,
    running_server,
    scored,
)
from tests.support.servers import free_port


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, serving_address: str) -> Iterator[Api]:
    """With real serving behind it."""
    folder = tmp_path_factory.mktemp("served")
    serving = ServingSettings(address=serving_address, default_model="tiny")
    with running_api(make_settings(folder, serving=serving, api=ApiSettings(port=free_port(), models=("absent",)))) as api:
        yield api


def test_alive_with_everything_away(tmp_path: Path) -> None:
    database = DatabaseSettings(url=f"postgresql+psycopg://x@127.0.0.1:{free_port()}/x", connect_timeout_s=1)
    settings = make_settings(tmp_path, database=database)
    with running_server(settings), httpx2.Client(base_url=f"http://127.0.0.1:{settings.api.port}", timeout=30) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        ready = client.get("/readyz")
        assert ready.status_code == 503
        checks = ready.json()["checks"]
        assert {name: check["status"] for name, check in checks.items()} == {
            "broker": "error",
            "database": "error",
            "serving": "error",
            "storage": "ok",
            "worker": "ok",  # the ledger cannot be asked; its own check says so
        }
        away = client.get("/v1/jobs")
        problem(away, 503, "database_unavailable")
        assert int(away.headers["retry-after"]) > 0
        problem(client.get("/v1/models"), 503, "serving_unavailable")
        metrics = client.get("/metrics")
        assert metrics.status_code == 200
        assert "dermq_http_requests_total" in metrics.text
        upload = client.post("/v1/jobs", content=b"x")
        problem(upload, 503, "database_unavailable")


def test_database_errors_do_not_tell_passwords(tmp_path: Path) -> None:
    database = DatabaseSettings(url=f"postgresql+psycopg://user:hunter2@127.0.0.1:{free_port()}/x", connect_timeout_s=1)
    settings = make_settings(tmp_path, database=database)
    with running_server(settings), httpx2.Client(base_url=f"http://127.0.0.1:{settings.api.port}", timeout=30) as client:
        for path in ("/v1/jobs", "/readyz"):
            assert "hunter2" not in client.get(path).text


def test_ready_without_migrations(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with running_server(settings), httpx2.Client(base_url=f"http://127.0.0.1:{settings.api.port}", timeout=30) as client:
        assert client.get("/readyz").json()["checks"]["database"]["status"] == "error"


def test_ready_without_serving_is_degraded(broker_url: str, tmp_path: Path) -> None:
    with running_api(make_settings(tmp_path, broker=BrokerSettings(url=broker_url))) as api:
        ready = api.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["checks"]["broker"] == {"status": "ok", "error": None}


def test_models(served: Api) -> None:
    tiny, absent = served.client.get("/v1/models").json()["data"]
    assert (tiny["name"], tiny["default"], tiny["versions"][0]["state"]) == ("tiny", True, "AVAILABLE")
    assert tiny["spec"]["classes"]
    assert (absent["name"], absent["versions"], absent["spec"]) == ("absent", [], None)
    assert "absent" in absent["error"]
    assert served.client.get("/v1/models/tiny").json() == tiny
    problem(served.client.get("/v1/models/absent"), 404, "unknown_model")
    assert served.client.get("/readyz").json()["checks"]["serving"]["status"] == "ok"


def test_metrics(api: Api) -> None:
    job_id = api.submit()
    api.start(job_id, items=20, chunk_items=10)
    api.finish(job_id, 0, lambda number: failed(number) if number else scored(number, [0.1, 0.1, 0.1, 0.7]))
    api.client.get(f"/v1/jobs/{job_id}")
    api.client.get("/nowhere")
    api.client.post("/v1/jobs", content=b"12345")
    text = api.client.get("/metrics").text
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    route = (("method", "GET"), ("route", "/v1/jobs/{job_id}"), ("status", "200"))
    assert samples["dermq_http_requests_total", *route] >= 1
    assert samples["dermq_http_requests_total", ("method", "GET"), ("route", "(none)"), ("status", "404")] >= 1
    assert samples["dermq_http_request_duration_seconds_count", *route[:2]] >= 1
    assert samples["dermq_upload_bytes_total",] >= 5
    assert samples["dermq_jobs", ("state", "running")] == 1
    assert samples["dermq_jobs", ("state", "succeeded")] == 0
    assert samples["dermq_items_pending",] == 10
    assert samples["dermq_items_in_flight",] == 0
    assert samples["process_resident_memory_bytes",] > 0
    assert str(job_id) not in text


def test_security_headers_are_everywhere(api: Api) -> None:
    for path in ("/healthz", "/v1/jobs", "/nowhere", "/docs", "/openapi.json", "/metrics"):
        headers = api.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_request_ids(api: Api) -> None:
    assert api.client.get("/healthz", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    for hostile in ("a b", "x" * 200, "{}"):
        assert api.client.get("/healthz", headers={"X-Request-ID": hostile}).headers["x-request-id"] != hostile
    assert api.client.get("/healthz").headers["x-request-id"] != api.client.get("/healthz").headers["x-request-id"]


def test_unknown_addresses_and_methods(api: Api) -> None:
    problem(api.client.get("/nowhere"), 404, "not_found")
    body = api.client.patch("/v1/jobs")
    problem(body, 405, "method_not_allowed")
    assert body.headers["allow"]
    problem(api.client.post("/healthz", content=b"x" * 3_000_000), 405, "method_not_allowed")  # with a body that nobody reads


def test_invalid_parameters_are_named_and_not_repeated(api: Api) -> None:
    body = problem(api.client.get("/v1/jobs", params={"limit": "<script>"}), 422, "invalid_parameters")
    assert body["errors"] == [{"field": "query.limit", "message": body["errors"][0]["message"]}]
    assert "<script>" not in str(body)


def test_faults_are_problems_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of the machine")

    monkeypatch.setattr("api.routes.jobs.list_jobs", broken)
    response = api.client.get("/v1/jobs")
    assert "secret" not in problem(response, 500, "internal")["detail"]
    assert response.headers["x-content-type-options"] == "nosniff"


def test_problem_types_can_be_looked_up(api: Api) -> None:
    assert {kind.code for kind in KINDS.values()} | set(JobErrorCode) <= {kind.code for kind in list_kinds()}
    for kind in list_kinds():
        if kind.code != "internal":
            page = api.client.get(f"/v1/problems/{kind.code}").json()
            assert (page["code"], page["status"]) == (kind.code, kind.status)
    problem(api.client.get("/v1/problems/none"), 404, "not_found")


def test_openapi(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    validate(document)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert all(operation.get("summary") and operation.get("tags") for operation in operations)
    for path in ("/v1/jobs", "/v1/jobs/{filename}", "/v1/classify"):
        method = "put" if "filename" in path else "post"
        assert "multipart/form-data" in document["paths"][path][method]["requestBody"]["content"]
    assert document["components"]["schemas"]["JobObject"]["examples"]
    assert "swagger" in api.client.get("/docs").text.lower()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_probe_may_add_a_parameter_of_its_own(api: Api, path: str) -> None:
    """Against caches, as load balancers do: a probe that failed for it would take a healthy server out of service."""
    assert api.client.get(path, params={"_": "1764093600"}).status_code == api.client.get(path).status_code
