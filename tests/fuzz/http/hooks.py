"""Loaded by schemathesis: puts ids of real jobs and uploads into addresses, and looks for what is another tenant's."""

from __future__ import annotations

import os
import random
from typing import Any

import schemathesis
from schemathesis import CheckContext, HookContext, Response
from schemathesis.schemas import Case  # type: ignore[attr-defined]

JOBS = os.environ["DERMQ_TEST_FUZZ_JOBS"].split(",")
FOREIGN = os.environ["DERMQ_TEST_FUZZ_FOREIGN"].split(",")
UPLOADS = os.environ["DERMQ_TEST_FUZZ_UPLOADS"].split(",")
FOREIGN_UPLOADS = frozenset(os.environ["DERMQ_TEST_FUZZ_FOREIGN_UPLOADS"].split(","))
_random = random.Random(1)
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Half of the addresses name a job or an upload that exists: of the caller's tenant or of another one."""
    given = case.path_parameters or {}
    if "upload_id" in given and _random.random() < 0.5:
        given["upload_id"] = _random.choice(UPLOADS)
    if "job_id" in given and _random.random() < 0.5:
        given["job_id"] = _random.choice(JOBS)
        if "item_no" in given:
            given["item_no"] = _random.choice((0, 1, 99))


@schemathesis.check
def no_foreign_row(ctx: CheckContext, response: Response, case: Case) -> None:
    """Nothing in the answer comes from another tenant's job, but what the request itself has named.

    An admin's audit names the ids of all jobs, and nothing of their rows.
    """
    named = str(case.path_parameters) + str(case.query) + str(case.body)
    secret = [each for each in FOREIGN if each.startswith("row-of")] if "/admin" in case.path else FOREIGN
    found = [each for each in secret if each not in named and each.encode() in response.content]
    assert not found, f"the answer has {found}, which another tenant owns"


@schemathesis.check
def no_foreign_upload(ctx: CheckContext, response: Response, case: Case) -> None:
    """Another tenant's upload is neither looked at, nor gone on with, nor ended."""
    if (case.path_parameters or {}).get("upload_id") in FOREIGN_UPLOADS and response.status_code < 400:
        raise AssertionError(f"{case.method} of another tenant's upload was answered with {response.status_code}")


@schemathesis.check
def no_server_error(ctx: CheckContext, response: Response, case: Case) -> None:
    """No 5xx, but 503 where Serving is asked, which this installation does not have."""
    if response.status_code >= 500 and b"/v1/problems/serving_unavailable" not in response.content:
        raise AssertionError(f"a server error: {response.status_code} {response.content[:500]!r}")
