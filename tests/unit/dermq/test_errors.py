"""Each problem of the server has its class here, and is read as it is."""

from __future__ import annotations

import subprocess
import sys
from http import HTTPStatus

import pytest

import dermq
from api.errors import JOB_KINDS, Kind, list_kinds
from core.errors import ItemErrorCode
from dermq import Client, ProblemError, Retries, errors
from dermq.errors import BY_CODE, BY_STATUS, ITEM_CODES, problem_class
from tests.unit.cli.laid_out import Answer, LaidOutServer


def test_the_item_codes_are_the_servers() -> None:
    assert {str(code) for code in ItemErrorCode} | {"item_error"} == ITEM_CODES
    assert {problem_class(422, code) for code in ITEM_CODES} == {errors.ItemError}


@pytest.mark.parametrize("kind", list_kinds(), ids=lambda kind: kind.code)
def test_every_problem_of_the_server_has_its_class(kind: Kind) -> None:
    known = kind.code in BY_CODE or kind.status in BY_STATUS or kind in JOB_KINDS.values() or kind.code in ITEM_CODES
    assert known, f"{kind.code} ({kind.status}) is new: give it a class in dermq/errors.py"
    found = problem_class(kind.status, kind.code)
    assert (kind.status >= 500) == issubclass(found, (errors.ServerError, errors.UnavailableError)) or kind.status == 408


def test_a_problem_is_read_whole(server: LaidOutServer) -> None:
    problem = {
        "code": "quota_exceeded",
        "title": "Quota exceeded",
        "detail": "2 of 2 jobs",
        "request_id": "r1",
        "quota": "jobs",
    }
    server.lay("GET", "/v1/models", Answer(problem, 429, {"Retry-After": "7"}, "application/problem+json"))
    with Client(server.url, retries=Retries(attempts=1)) as client, pytest.raises(errors.QuotaExceededError) as caught:
        client.models()
    error = caught.value
    assert (str(error), error.status, error.code, error.title) == ("2 of 2 jobs", 429, "quota_exceeded", "Quota exceeded")
    assert (error.detail, error.request_id, error.retry_after_s, error.problem["quota"]) == ("2 of 2 jobs", "r1", 7.0, "jobs")


@pytest.mark.parametrize("status", [404, 500, 502])
def test_an_answer_of_something_else_is_named(server: LaidOutServer, status: int) -> None:
    server.lay("GET", "/v1/models", Answer(b"<html>proxy</html>", status, kind="text/html"))
    with Client(server.url, retries=Retries(attempts=1)) as client, pytest.raises(ProblemError) as caught:
        client.models()
    assert str(caught.value) == f"GET {server.url}/v1/models answered {status}: {HTTPStatus(status).phrase}"
    assert (caught.value.code, caught.value.request_id, type(caught.value)) == ("", None, problem_class(status, ""))


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"\xff\xfe"], ids=["page", "list", "bytes"])
def test_a_server_that_is_not_dermq_is_told(server: LaidOutServer, body: bytes) -> None:
    server.lay("GET", "/v1/models", Answer(body))
    with Client(server.url) as client, pytest.raises(errors.UnexpectedAnswerError, match="not as DermQ does"):
        client.models()


def test_importing_the_package_loads_no_http_client() -> None:
    code = "import sys, dermq; print('httpx2' in sys.modules); import dermq.client; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dermq.nothing  # noqa: B018
