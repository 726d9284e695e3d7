"""Every code says whose fault it is, whether a retry is worth it, and why. API, metrics and docs are made from that."""

from __future__ import annotations

import pickle
import re

import pytest

from api.errors import JOB_KINDS, kind_of
from core.errors import (
    ArchiveError,
    ErrorCode,
    Fault,
    ForbiddenSourceError,
    ItemErrorCode,
    JobError,
    JobErrorCode,
    ModelContractError,
    ModelNotFoundError,
)
from worker.telemetry.metrics import JOBS_FAILED

CODES: list[ErrorCode] = [*ItemErrorCode, *JobErrorCode]


@pytest.mark.parametrize("code", CODES)
def test_each_is_described(code: ErrorCode) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code.value)
    assert re.fullmatch(r"[A-Z].{8,}\.", code.sentence)
    assert isinstance(code.fault, Fault)
    assert isinstance(code.retryable, bool)


@pytest.mark.parametrize("code", CODES)
def test_each_is_its_word(code: ErrorCode) -> None:
    """As the ledger keeps it, as clients compare it, and as it goes from process to process."""
    assert code == code.value == str(code) == f"{code}"
    assert type(code)(code.value) is code
    assert pickle.loads(pickle.dumps(code)) is code  # noqa: S301 - our own


def test_the_words_of_the_ledger_stay() -> None:
    assert {str(code) for code in JobErrorCode} == {
        *("unreadable_archive", "encrypted_archive", "archive_bomb", "archive_gone", "source_denied", "forbidden_source"),
        *("unknown_model", "model_contract", "serving_error", "prepare_crash", "prepare_timeout", "error_budget"),
        "internal_error",
    }


@pytest.mark.parametrize("code", JobErrorCode)
def test_the_status_follows_from_the_fault(code: JobErrorCode) -> None:
    kind = JOB_KINDS[code]
    assert (kind.code, kind.meaning) == (code, code.sentence)
    assert (400 <= kind.status < 500) == (code.fault in (Fault.CALLER, Fault.ARCHIVE))
    assert kind_of(JobError(code, "why")) is kind


def test_errors_have_the_kind_of_their_code() -> None:
    errors: list[JobError] = [
        ArchiveError("x", code=JobErrorCode.ARCHIVE_BOMB),
        ModelNotFoundError("x"),
        ModelContractError("x"),
        ForbiddenSourceError("x"),
    ]
    assert [kind_of(error).status for error in errors] == [422, 404, 502, 403]


@pytest.mark.parametrize("code", [code for code in JobErrorCode if code is not JobErrorCode.ERROR_BUDGET])
def test_each_that_a_worker_gives_has_a_series(code: JobErrorCode) -> None:
    assert {"code": code.value} in [sample.labels for sample in JOBS_FAILED.samples()]
